"""What a cluster file says stays a word of ssh's command line."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tunebox.errors import ClusterError
from tunebox.remote.cluster_file import find_head
from tunebox.remote.ssh import Login, login_shell

FILE = """\
cluster_name: c
provider: {{type: local, head_ip: {address}}}
auth: {{ssh_user: {user}, ssh_private_key: {key}, ssh_proxy_command: {proxy}}}
"""
WHOLE = {"address": "10.1.2.3", "user": "me", "key": "/k/key", "proxy": "nc %h %p"}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(
            ("user", value)
            for value in ("-oProxyCommand=x", "a b", "$(x)", '"`x`"', "a;b", '"a\\nb"')
        ),
        *(("address", value) for value in ("-oProxyCommand=x", "h -l x", "h;x", '"h\\n"')),
        *(("key", value) for value in ("-F/etc/x", '"/a\\nb"', '"/a\\x1b[2Jb"')),
        *(("proxy", value) for value in ("-x", '"nc\\n-oX"')),
    ],
)
def test_value_that_ssh_would_misread_is_refused(tmp_path: Path, place: str, value: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.format(**{**WHOLE, place: value}))
    with pytest.raises(
        ClusterError, match=r"cluster\.yaml cannot be used: the .* of ssh is"
    ) as caught:
        find_head(str(path))
    assert str(caught.value).isprintable()


def test_words_that_ssh_and_rsync_get(tmp_path: Path) -> None:
    login = Login("me", "10.1.2.3", (Path("/k/my key"),), "nc %h %p")
    words = login.ssh("true", "-L", "1:h:2")
    assert words[:5] == ["ssh", "-i", "/k/my key", "-o", "ProxyCommand=nc %h %p"]
    assert words[-5:] == ["-L", "1:h:2", "--", "me@10.1.2.3", "true"]
    local = tmp_path / "-x:y"
    copying = login.rsync("/out/s 1/", local, "--exclude=*")
    assert copying[-4:] == ["--exclude=*", "--", "me@10.1.2.3:/out/s 1/", f"{local}/"]
    assert Path(Login("me", "h").rsync("/s", Path("a:b"))[-1]).is_absolute()


def test_ssh_takes_the_words_as_they_are_meant(tmp_path: Path) -> None:
    """A program in place of ssh, called as rsync does, sees the key as one word."""
    fake = tmp_path / "ssh"
    fake.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word" >>"$WORDS"; done\nexit 255\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WORDS": str(tmp_path / "words")}
    login = Login("me", "10.1.2.3", (Path("/k/it's my key"),), "nc '%h' %p")
    subprocess.run(
        login.rsync("/out/s", tmp_path / "to"), env=environment, capture_output=True, check=False
    )
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:4] == ["-i", "/k/it's my key", "-o", "ProxyCommand=nc '%h' %p"]


def test_login_shell_is_one_line_for_the_shell_there() -> None:
    odd = ["printf", "%s|", "a b", "$(x)", "'"]
    done = subprocess.run(
        ["sh", "-c", login_shell(odd)], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("a b|$(x)|'|")
