# Owns one PgBouncer; run by guardian.rs. It starts it at the verb `start` and stops it when stdin ends.
dir=$1 bin=$2
keep_log=yes
pid=

# PgBouncer does not report when it is ready, so it is asked until it answers, or is gone.
start() {
    pgbouncer -q pgbouncer.ini >>log 2>&1 &
    pid=$!
    until "$bin/pg_isready" -q -h 127.0.0.1 -p "$1"; do
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.02
    done
}

while read -r verb port; do
    case $verb in
    start) start "$port" ;;
    forget) keep_log=no ;;
    *) false ;;
    esac && echo ok || echo failed
done

if [ -n "$pid" ]; then
    kill -TERM "$pid"
    wait "$pid"
fi
if [ "$keep_log" = yes ]; then
    find . -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
else
    cd / && rm -rf "$dir"
fi
