"""Read the front of a search that has ended, and plot clean against noisy accuracy.

python examples/read_the_front.py OUT NAME PICTURE.png
"""

import sys

from matplotlib.figure import Figure

import tunebox


def main(out: str, name: str, picture: str) -> None:
    """Print the front of the search ``name`` in ``out`` and draw it into ``picture``."""
    rows = tunebox.front(name, out=out).to_pylist()
    for row in rows:
        clean, noisy = row["last/clean_accuracy"], row["last/noisy_accuracy"]
        print(f"{row['trial_id']}  clean {clean:.2%}  noisy {noisy:.2%}  {row['epochs']} epochs")
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.plot(
        [row["last/clean_accuracy"] for row in rows],
        [row["last/noisy_accuracy"] for row in rows],
        "o-",
    )
    axes.set_xlabel("clean accuracy")
    axes.set_ylabel("noisy accuracy")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
