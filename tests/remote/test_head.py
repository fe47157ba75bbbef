from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ray.autoscaler._private.aws.config import key_pair
from ray.autoscaler._private.util import generate_ssh_key_name

from tunebox.errors import ClusterError
from tunebox.remote.cluster_file import find_head
from tunebox.remote.head import Head, HeadUnreachable
from tunebox.remote.ssh import login_shell

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
    assert (head.address, head.user, head.keys) == ("10.1.2.3", "me", (Path.home() / "key",))
    assert head.proxy_command is None
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves files
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cluster.yaml cannot be read: No such file or directory"),
        ("a: [", "cluster.yaml is not YAML: "),
        ("- 1", "cluster.yaml: no cluster_name; give the file that the cluster was started"),
        ("", "no cluster_name"),
        ("cluster_name: c\nprovider: aws", "cluster.yaml: no provider; give the file"),
        (LOCAL.replace("auth", "author"), "cluster.yaml: no auth; give the file that"),
        (LOCAL.replace("ssh_user", "user"), "cluster.yaml: no auth/ssh_user; see ray up"),
        (LOCAL.replace("type: local, ", ""), "cluster.yaml: no provider/type; see ray up"),
        (LOCAL.replace("local", "cloud"), r"cluster.yaml: no running head found \(.*\); start it"),
        (f"{LOCAL}docker: {{container_name: x}}", "docker/container_name: tunebox must be"),
    ],
    ids=str,
)
def test_wrong_file_is_one_line(cluster_file: Path, text: str | None, message: str) -> None:
    if text is not None:
        cluster_file.write_text(text)
    with pytest.raises(ClusterError, match=message) as caught:
        find_head(str(cluster_file))
    assert "\n" not in str(caught.value)


CLOUD = """\
cluster_name: c
provider: {type: aws, region: us-west-2}
auth: {ssh_user: me}
"""


@pytest.fixture
def ssh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a person whose cloud answers no question but that for the head's address."""
    monkeypatch.setattr("tunebox.remote.cluster_file._address", lambda *_: "10.1.2.3")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    folder.mkdir()
    return folder


def test_key_that_ray_made_for_a_cloud_is_found_by_its_name(
    cluster_file: Path, ssh_folder: Path
) -> None:
    aws = [key_pair(number, "us-west-2", None)[1] for number in (0, 1)]
    google = generate_ssh_key_name("gcp", 0, "us-west2", "my-project", "me")
    others = [f"{google}.pub", "id_ed25519", "ray-autoscaler_us-east-1.pem", "mine.pub"]
    for name in (*aws, google, *others, "mine.pem", "mine_key-1.pem"):
        (ssh_folder / name).touch()
    for provider, keys in [
        ("type: aws, region: us-west-2", [Path(key).name for key in sorted(aws)]),
        ("type: gcp, region: us-west2", [google]),
        ("type: aws, region: x, key_pair: {key_name: mine}", ["mine.pem", "mine_key-1.pem"]),
    ]:
        cluster_file.write_text(CLOUD.replace("type: aws, region: us-west-2", provider))
        assert sorted(key.name for key in find_head(str(cluster_file)).keys) == keys


def test_key_that_is_not_here_is_asked_for_and_not_made(
    cluster_file: Path, ssh_folder: Path
) -> None:
    (ssh_folder / "ray-autoscaler_us-east-1.pem").touch()
    cluster_file.write_text(CLOUD)
    with pytest.raises(ClusterError, match=r"no ~/.ssh/ray-autoscaler_\*us-west-2\*; copy it"):
        find_head(str(cluster_file))
    assert len(list(ssh_folder.iterdir())) == 1


def test_no_word_is_looked_at_by_a_shell(tmp_path: Path) -> None:
    words = ["", "two words", "$HOME", "`id`", "'", '"', "*", "a;b", "\\", "ü"]
    command = login_shell(["printf", "%s\\n", *words])
    # what sshd does with it: the shell of the account is given the line
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-len(words) :] == words


@pytest.mark.timeout(60)
def test_head_that_does_not_answer_is_away() -> None:
    head = Head("cluster.yaml", "127.0.0.1", "nobody", (Path("/absent"),), proxy_command="false")
    with pytest.raises(HeadUnreachable, match=r"cluster.yaml does not answer by ssh at nobody@127"):
        head.run(["true"])
    with pytest.raises(HeadUnreachable, match="is it up"), head.tunnel(5000):
        pass
