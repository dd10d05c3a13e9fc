# Owns one Patroni and its Postgres; run by guardian.rs after guardian_kill.sh. It starts Patroni at the verb `start`,
# ends both by SIGKILL at `kill`, and stops them when stdin ends. The arguments after the directory are Patroni's
# command.
dir=$1
shift
keep_log=yes
pid=

start() {
    "$@" >>log 2>&1 &
    pid=$!
}

# Patroni first, which would start Postgres again.
kill_both() {
    kill -KILL "$pid" || return
    wait "$pid" 2>>log
    pid=
    kill_tree
}

while read -r verb; do
    case $verb in
    start) start "$@" ;;
    kill) kill_both ;;
    alive) kill -0 "$pid" 2>/dev/null ;;
    forget) keep_log=no ;;
    *) false ;;
    esac && echo ok || echo failed
done

if [ -n "$pid" ]; then
    # It stops its Postgres before it ends.
    kill -TERM "$pid" 2>>log
    wait "$pid" 2>>log
fi
# A Patroni that has failed may have left it.
kill_tree 2>>log
if [ "$keep_log" = yes ]; then
    find . -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
else
    cd / && rm -rf "$dir"
fi
