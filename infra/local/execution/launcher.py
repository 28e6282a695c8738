"""Starts a function's process: ties its life to its parent's and shows it the files that Lambda would show.

Run by path with `python -I -S`, so that a cold start pays a few milliseconds for it and not an import of this
package. The first argument is JSON: `parent` (process id), `mounts` (or null for none), `folder` (to
work in), `command`, `launched` (a pipe's end: told the command's process id, and closed when it begins). `probe`
instead of the JSON exits 0 where mounts can be made.

The command is a child of this process and not this process itself: its age is then its own, without the time that the
mounts took, and a function that reads its age sees what it would see on Lambda. This process waits for it and ends as
it ended, so that no dead process is left to whoever adopts orphans.

With mounts, the process gets a mount namespace of its own (and, without root, a user namespace), in which
- each key of `mounts` is a path that shows the folder of its value, read-only (/var/task, /opt/python), and
- the paths whose value is null do not exist (/dev/shm: Lambda has none).
Parent folders are shadowed: a fresh tmpfs holds bind mounts of everything else that was there, so nothing outside
the namespace changes. https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
"""

import ctypes
import json
import os
import signal
import sys
import tempfile

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 1, 32, 4096, 8192, 16384, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
PR_SET_PDEATHSIG = 1
# Flags that a bind mount inherits and that an unprivileged namespace may not drop: statvfs's bit -> mount's bit.
INHERITED = {os.ST_NOSUID: 2, os.ST_NODEV: 4, os.ST_NOEXEC: 8} if sys.platform == "linux" else {}


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, None)
    if done != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"mount {source} on {target}: {os.strerror(errno)}")


def bind(source: str, target: str, read_only: bool = False) -> None:
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        now = os.statvfs(target).f_flag
        kept = sum(flag for bit, flag in INHERITED.items() if now & bit)
        mount(source, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def shadow(folder: str, shown: dict[str, str | None]) -> None:
    """Let `folder` show what it shows now, but for the names in `shown`: another folder, or nothing."""
    with_names = tempfile.mkdtemp(prefix="shadow-")
    mount("tmpfs", with_names, "tmpfs", 0)
    # Without the sticky bit: in a sticky folder of ours the kernel refuses `> /dev/null`, which is another's file.
    os.chmod(with_names, 0o755)
    for name in sorted(set(os.listdir(folder) if os.path.isdir(folder) else ()) | shown.keys()):
        source = shown.get(name, os.path.join(folder, name))
        target = os.path.join(with_names, name)
        if source is None:
            continue
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.mkdir(target)
            bind(source, target, read_only=name in shown)
        elif os.path.exists(source):
            os.close(os.open(target, os.O_CREAT))
            bind(source, target)
    mount(with_names, folder, None, MS_MOVE)
    os.rmdir(with_names)


def enter_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        os.unshare(CLONE_NEWNS)
    else:
        os.unshare(CLONE_NEWNS | CLONE_NEWUSER)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def show(mounts: dict[str, str | None]) -> None:
    enter_namespace()
    folders: dict[str, dict[str, str | None]] = {}
    for path, source in mounts.items():
        folder, name = os.path.split(path)
        folders.setdefault(folder, {})[name] = source
    for folder, shown in folders.items():
        shadow(folder, shown)


def main(argument: str) -> None:
    if argument == "probe":
        with tempfile.TemporaryDirectory() as folder:
            show({"/var/task": folder, "/opt/python": folder, "/dev/shm": None})
        return
    given = json.loads(argument)
    if given["mounts"] is not None:
        show(given["mounts"])
    # Only now: a new user namespace changes credentials, and that clears the setting.
    die_with(given["parent"])
    os.chdir(given["folder"])
    os.set_inheritable(given["launched"], False)
    launcher, command = os.getpid(), given["command"]
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a group without the launcher, to be frozen and killed as one
        die_with(launcher)
        os.execv(command[0], command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # for the function, if it wants them
    os.write(given["launched"], str(child).encode())
    os.close(given["launched"])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(launcher, -status)
    os._exit(status)


def die_with(parent: int) -> None:
    """Be killed when the parent ends, however it ends; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent ended before its child began")


if __name__ == "__main__":
    main(sys.argv[1])
