# Owns one server that stays in the foreground; run by guardian.rs. It starts it at the verb `start`, says at `alive`
# whether it still runs, and stops it when stdin ends. The arguments after the directory are the server's command.
dir=$1
shift
keep_log=yes
pid=

start() {
    "$@" >>log 2>&1 &
    pid=$!
    echo "$pid" >pid
}

while read -r verb; do
    case $verb in
    start) start "$@" ;;
    alive) kill -0 "$pid" 2>/dev/null ;;
    forget) keep_log=no ;;
    *) false ;;
    esac && echo ok || echo failed
done

if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>>log
    # The shell would print on the terminal that it was terminated.
    wait "$pid" 2>>log
fi
if [ "$keep_log" = yes ]; then
    find . -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
else
    cd / && rm -rf "$dir"
fi
