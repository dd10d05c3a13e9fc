#!/usr/bin/env bash
# install.sh: puts the package `release` into the Postgres of PG_CONFIG, for which it was built, below DESTDIR if that is
# set.
set -euo pipefail
cd "$(dirname "$0")/.."

package=$(tests/package.sh where)/release
as_root=()
if ((EUID != 0)) && [[ -z ${DESTDIR:-} ]]; then
    as_root=(sudo)
fi

# A new file takes the place of the old one, which stays with the backends that have it mapped. Written over in place,
# it would crash them.
(cd "$package" && find . -type f) | while read -r file; do
    target=${DESTDIR:-}/${file#./}
    mode=644
    [[ $file == *.so ]] && mode=755
    "${as_root[@]}" install -D -m "$mode" "$package/$file" "$target.new"
    "${as_root[@]}" mv -f "$target.new" "$target"
    echo "installed $target"
done
