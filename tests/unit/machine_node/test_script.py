import subprocess

from plait.machine.node.script import FAILED, enter, exec_command, exec_script, start_script
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


def test_a_program_is_in_its_groups_before_its_first_step(tmp_path):
    joins = [tmp_path / "one", tmp_path / "it's two"]
    command = exec_command(7, [str(join) for join in joins])
    assert command[-len(exec_command(7)) :] == exec_command(7)
    stand_in = [*command[: -len(exec_command(7))], "sh", "-c", 'cat "$0" "$1"', *map(str, joins)]
    done = subprocess.run(stand_in, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n0\n"
    assert enter(7, tmp_path / "start.sh", ["/a", "/b"])[-2:] == ("/a", "/b")


def test_a_program_does_not_start_outside_of_its_groups(tmp_path):
    text = start_script(tmp_path, argv=["true"], env={}, workdir="/", setpriv=())
    absent = str(tmp_path / "none" / "cgroup.procs")
    done = subprocess.run(["sh", "-s", "--", absent], input=text, text=True, check=False)
    assert done.returncode == FAILED
    assert absent in (tmp_path / "start.err").read_text()
    absent_too = [*exec_command(7, [absent])[:3], "sh", "echo", "started"]
    done = subprocess.run(absent_too, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""


def test_the_environment_is_not_on_a_command_line(tmp_path):
    assert "--pid" in exec_command(7)
    assert enter(7, tmp_path / "start.sh")[-2:] == ("sh", str(tmp_path / "start.sh"))
