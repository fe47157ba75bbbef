from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tunebox.cluster.head import Head, HeadAway, _login_shell, find_head
from tunebox.errors import ClusterError

LOCAL = """\
cluster_name: c
provider: {type: local, head_ip: 10.1.2.3, worker_ips: []}
auth: {ssh_user: me, ssh_private_key: ~/key}
"""


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def test_head_of_a_cluster_of_ones_own(
    cluster_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster_file.write_text(LOCAL)
    head = find_head(str(cluster_file))
    assert (head.address, head.user, head.key) == ("10.1.2.3", "me", Path.home() / "key")
    assert head.proxy_command is None
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves files
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cluster.yaml cannot be read: No such file or directory"),
        ("a: [", "cluster.yaml: not YAML: "),
        ("- 1", "cluster.yaml: no cluster_name; it is to be the file that the cluster was started"),
        ("", "no cluster_name"),
        ("cluster_name: c\nprovider: aws", "cluster.yaml: no provider; it is to be the file"),
        (LOCAL.replace("auth", "author"), "cluster.yaml: no auth; it is to be the file that"),
        (LOCAL.replace("ssh_user", "user"), "cluster.yaml: no auth/ssh_user; see ray up"),
        (LOCAL.replace("type: local, ", ""), "cluster.yaml: no provider/type; see ray up"),
        (LOCAL.replace("local", "cloud"), r"cluster.yaml: no running head found \(.*\); start it"),
        (f"{LOCAL}docker: {{container_name: x}}", "docker/container_name: tunebox is to be"),
    ],
    ids=str,
)
def test_wrong_file_is_one_line(cluster_file: Path, text: str | None, message: str) -> None:
    if text is not None:
        cluster_file.write_text(text)
    with pytest.raises(ClusterError, match=message) as caught:
        find_head(str(cluster_file))
    assert "\n" not in str(caught.value)


def test_no_word_is_looked_at_by_a_shell(tmp_path: Path) -> None:
    words = ["", "two words", "$HOME", "`id`", "'", '"', "*", "a;b", "\\", "ü"]
    command = _login_shell(["printf", "%s\\n", *words])
    # what sshd does with it: the shell of the account is given the line
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-len(words) :] == words


@pytest.mark.timeout(60)
def test_head_that_does_not_answer_is_away() -> None:
    head = Head("cluster.yaml", "127.0.0.1", "nobody", Path("/absent"), proxy_command="false")
    with pytest.raises(HeadAway, match=r"cluster.yaml does not answer by ssh at nobody@127"):
        head.run(["true"])
    with pytest.raises(HeadAway, match="is it up"), head.tunnel(5000):
        pass
