# Owns one private Postgres; run by guardian.rs. It obeys the verbs on stdin, one at a time, and when
# stdin ends, however that came about, it stops the server and removes the data.
dir=$1 bin=$2
keep_log=yes

control() {
    "$bin/pg_ctl" -D data -w -t 60 "$@" </dev/null >>log 2>&1
}

start() {
    control -l log -o "-p $1" start
}

initdb() {
    "$bin/initdb" -D data -U postgres --no-sync --encoding=UTF8 --locale=C --pwfile=password \
        --auth-local=trust --auth-host=scram-sha-256 </dev/null >>log 2>&1 &&
        cat settings >>data/postgresql.conf &&
        mkdir socket
}

while read -r verb argument; do
    case $verb in
    initdb) initdb ;;
    upgrade) "$bin/pg_upgrade" -b "$bin" -B "$bin" -d "$argument" -D data -s "$dir/socket" -U postgres </dev/null >>log 2>&1 ;;
    start) start "$argument" ;;
    stop) control -m fast stop ;;
    crash) control -m immediate stop ;;
    # A standby that is promoted begins a new timeline, as after a fail-over.
    new-timeline) control -m fast stop && touch data/standby.signal && start "$argument" && control promote ;;
    forget) keep_log=no ;;
    *) false ;;
    esac && echo ok || echo failed
done

if [ -f data/postmaster.pid ]; then
    control -m fast -t 20 stop || control -m immediate stop
fi
if [ "$keep_log" = yes ]; then
    find . -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
else
    cd / && rm -rf "$dir"
fi
