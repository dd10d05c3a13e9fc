#!/usr/bin/env bash
# dockerfile.sh DOCKERFILE CONTEXT ROOT RESULT [NAME=VALUE...]: carries out a Dockerfile without an engine. ROOT stands
# for the image that it is made from and is changed; RESULT is what the last stage leads to: ROOT, or a new folder if
# that stage begins with nothing. NAME=VALUE is a build argument.
set -euo pipefail

file=$1 context=$2 root=$3 result=$4
shift 4
declare -A arguments=() given=() stages=()
for pair in "$@"; do given[${pair%%=*}]=${pair#*=}; done
here=$root user=root

die() {
    echo "dockerfile.sh: $file: $*" >&2
    exit 1
}

# ${NAME} stands for a build argument, and for nothing else.
expanded() {
    local text=$1 name
    for name in "${!arguments[@]}"; do text=${text//"\${$name}"/"${arguments[$name]}"}; done
    [[ $text != *\$\{* ]] || die "an unknown argument in: $text"
    printf '%s' "$text"
}

from() {
    local image=$1 name=${3:-}
    # What a stage knows, it has declared itself.
    arguments=()
    case $image in
    scratch) mkdir -p "$result" && here=$result ;;
    *) here=$root ;;
    esac
    [[ -z $name ]] || stages[$name]=$here
    user=root
}

copy() {
    local source=$context target
    if [[ $1 == --from=* ]]; then
        source=${stages[${1#--from=}]:-} && shift
        [[ -n $source ]] || die 'COPY from an unknown stage'
    fi
    target=$here/${*: -1}
    mkdir -p "$target"
    local pattern found
    for pattern in "${@:1:$#-1}"; do
        found=$(compgen -G "$source/$pattern") || die "COPY finds no $pattern"
        while read -r item; do
            if [[ -d $item ]]; then cp -r "$item/." "$target"; else cp "$item" "$target"; fi
        done <<<"$found"
    done
}

run() {
    local variables=() name
    for name in "${!arguments[@]}"; do variables+=("$name=${arguments[$name]}"); done
    [[ $user == root ]] || die "RUN as $user"
    DEBIAN_FRONTEND=noninteractive chroot "$here" env "${variables[@]}" /bin/sh -c "$1"
}

# Lines that end with a backslash go on; comments may stand between them.
while IFS= read -r line; do
    [[ -n $line ]] || continue
    word=${line%% *} rest=${line#* }
    echo "-- $line"
    case $word in
    ARG)
        name=${rest%%=*}
        arguments[$name]=${given[$name]:-${rest#*=}}
        ;;
    FROM) read -ra words <<<"$(expanded "$rest")" && from "${words[@]}" ;;
    COPY) read -ra words <<<"$(expanded "$rest")" && copy "${words[@]}" ;;
    RUN) run "$rest" ;;
    USER) user=$rest ;;
    *) die "no such instruction: $word" ;;
    esac
done < <(grep -v '^[[:space:]]*#' "$file" | sed -e ':again' -e '/\\$/{N; s/\\\n[[:space:]]*//; b again' -e '}')
