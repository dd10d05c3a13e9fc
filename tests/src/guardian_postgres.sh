# Owns one private Postgres; run by guardian.rs. It obeys the verbs on stdin, one at a
# time, and when stdin ends, for any reason, it stops the server and removes the data.
dir=$1 bin=$2 lib=$3 share=$4
keep_log=yes
# The environment that shows another time to the server.
clock=

# link FROM TO TEST...: links to what is in a directory and passes find's tests. A link to the directory itself, under
# another name, leads to the copy.
link() {
    from=$1 to=$dir/installation$2
    shift 2
    mkdir -p "$to" && find "$from" -mindepth 1 -maxdepth 1 "$@" ! -lname . -exec ln -s -t "$to" {} + &&
        find "$from" -mindepth 1 -maxdepth 1 "$@" -lname . -exec cp -P -t "$to" {} +
}

# The server runs from a copy of the installation, so that it sees only the volguard of the
# package, whatever `make install` has put into the installation. A program searches its
# other files from its own place, with links resolved: programs that search are copied.
lay_out() {
    link "$bin" "$bin" &&
        link "$lib" "$lib" ! -name 'volguard*' &&
        link "$share" "$share" ! -name extension &&
        link "$share/extension" "$share/extension" ! -name 'volguard*' || return
    for program in postgres initdb pg_ctl; do
        cp --remove-destination "$bin/$program" "$dir/installation$bin" || return
    done
    if [ -n "$1" ]; then
        link "$1$lib" "$lib" && link "$1$share/extension" "$share/extension" || return
    fi
    # Builds that are not the system's may search libraries, too, from their own place. The loader searches the system's
    # by itself, after these: they may have an older libpq.
    libraries=$(ldd "$bin/postgres" "$bin/initdb" | sed -n 's|.* => \(/.*/[^/]*\) .*|\1|p')
    system=$(echo "$libraries" | sed -n 's|/libc\.so\.[0-9]*$||p' | head -n 1)
    LD_LIBRARY_PATH=$(echo "$libraries" | sed 's|/[^/]*$||' | sort -u | grep -Fvx "$system" | paste -sd :)
    export LD_LIBRARY_PATH
    bin=$dir/installation$bin
}

control() {
    env $clock "$bin/pg_ctl" -D data -w -t 60 "$@" </dev/null >>log 2>&1
}

start() {
    # A standby's settings are those of its primary, but for the place of the socket.
    control -l log -o "-p $1 -k '$dir/socket'" start
}

initdb() {
    "$bin/initdb" -D data -U postgres --no-sync --encoding=UTF8 --locale=C --pwfile=password \
        --auth-local=trust --auth-host=scram-sha-256 </dev/null >>log 2>&1 &&
        cat settings >>data/postgresql.conf &&
        mkdir socket
}

# A standby with the data of the server that the connection string names. A checkpoint must not make it wait.
backup() {
    "$bin/pg_basebackup" -D data -d "$1" --checkpoint=fast --no-sync </dev/null >>log 2>&1 && mkdir socket
}

# follow PRIMARY: as a standby, streams from that connection string from now on; from none if it is empty.
follow() {
    grep -v '^primary_conninfo' data/postgresql.auto.conf >auto.conf
    echo "primary_conninfo = '$1'" >>auto.conf
    mv auto.conf data/postgresql.auto.conf && touch data/standby.signal || return
    if [ -f data/postmaster.pid ]; then
        control reload
    fi
}

while read -r verb argument; do
    case $verb in
    lay-out) lay_out "$argument" >>log 2>&1 ;;
    initdb) initdb ;;
    # The data of another server that is stopped, with our settings.
    copy) cp -a "$argument" data && cat settings >>data/postgresql.conf && mkdir socket ;;
    clock) clock=$argument ;;
    upgrade) "$bin/pg_upgrade" -b "$bin" -B "$bin" -d "$argument" -D data -s "$dir/socket" -U postgres </dev/null >>log 2>&1 ;;
    start) start "$argument" ;;
    stop) control -m fast stop ;;
    kill) kill_tree ;;
    backup) backup "$argument" ;;
    follow) follow "$argument" ;;
    promote) control promote ;;
    rewind) "$bin/pg_rewind" -D data --source-server="$argument" </dev/null >>log 2>&1 ;;
    crash) control -m immediate stop ;;
    # A standby that is promoted begins a new timeline, as after a fail-over.
    standby) touch data/standby.signal && start "$argument" ;;
    keep-data) cp -a data kept ;;
    put-data-back) rm -rf data && mv kept data ;;
    new-timeline) control -m fast stop && touch data/standby.signal && start "$argument" && control promote ;;
    stand-by) control -m fast stop && touch data/standby.signal && start "$argument" ;;
    # What is wrong with a server is worth a log, whatever its owner thinks of it.
    forget) grep -qE "$DEFECTS" log || keep_log=no ;;
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
