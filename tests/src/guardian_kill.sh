# Part of the guardians that can end a Postgres as a power failure does; comes before their own text.

# Ends the server in data/ by SIGKILL, with all its processes, and returns when they are gone. The postmaster is
# stopped first, so that it starts no more of them; a signal takes effect only when what it does in the kernel is done.
kill_tree() {
    [ -f data/postmaster.pid ] && read -r postmaster <data/postmaster.pid || return
    kill -STOP "$postmaster" || return
    while grep -qs '^State:[[:space:]]*[RSD]' "/proc/$postmaster/status"; do sleep 0.01; done
    processes="$postmaster $(grep -ls "^PPid:[[:space:]]*$postmaster\$" /proc/[0-9]*/status | cut -d / -f 3)"
    # A process may have ended by itself by now.
    kill -KILL $processes 2>/dev/null
    for process in $processes; do
        while grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$process/status"; do sleep 0.01; done
    done
    # The data may never be started again, which would remove the key of its shared memory.
    ipcrm -m "$(sed -n '7s/.* //p' data/postmaster.pid)" 2>/dev/null
    # The postmaster may be a zombie for some time, which counts as running: the next start would find its files taken.
    rm -f data/postmaster.pid .s.PGSQL.*.lock socket/.s.PGSQL.*.lock
    return 0
}
