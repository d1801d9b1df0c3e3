import subprocess

from plait.machine.node.script import enter, exec_command, exec_script, start_script
from plait.machine.node.security import Identity

NASTY = 'it\'s "$HOME" `id`\n;\\'


def test_words_and_variables_reach_the_program_untouched(tmp_path):
    text = exec_script(
        argv=["sh", "-c", 'printf "%s|%s" "$X" "$1"', "sh", NASTY], env={"X": NASTY, "PATH": "/usr/bin:/bin"},
        workdir=str(tmp_path), setpriv=(),
    )  # fmt: skip
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, check=True)
    assert done.stdout == f"{NASTY}|{NASTY}"


def test_a_start_script_is_good_shell(tmp_path):
    folder = tmp_path / "it's here"
    text = start_script(
        folder,
        argv=["python", NASTY],
        env={"A": NASTY, "PATH": "/x:/y"},
        workdir="/srv/it's",
        setpriv=Identity(uid=1, gid=2).setpriv(),
    )
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert "PATH=/x:/y" in text
    assert "executable file not found in $PATH" in text


def test_the_environment_is_not_on_a_command_line(tmp_path):
    assert "--pid" in exec_command(7)
    assert enter(7, tmp_path / "start.sh")[-2:] == ("sh", str(tmp_path / "start.sh"))
