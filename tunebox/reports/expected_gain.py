"""What a search with a model thinks is left to gain."""

from tunebox.decisions.trials import TrialLog


def describe_expected_gain(log: TrialLog) -> str:
    """Return what the next epochs are expected to add, as a sentence; empty without a model."""
    gain, reached = log.expected_gain(), log.hypervolume()
    if gain is None:
        return ""
    share = f" ({gain / reached:.2g} of it)" if reached > 0 else ""
    return (
        f"The model expects 100 epochs more to raise the hypervolume {reached:.4g} by "
        f"{gain:.2g}{share}."
    )
