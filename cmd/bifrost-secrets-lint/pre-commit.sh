#!/bin/sh
# Runs the linter for pre-commit, and builds it first where that has not been
# done. pre-commit has a checkout of its own for each revision of this
# repository, so what was built stays right.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/.cache/pre-commit/bifrost-secrets-lint
if ! [ -x "$bin" ]; then
    command -v go >/dev/null || {
        echo 'bifrost-secrets: this hook builds with Go, which is not on the PATH' >&2
        echo 'bifrost-secrets: hint: use the hook bifrost-secrets-lint, for which pre-commit brings Go' >&2
        exit 2
    }
    mkdir -p "${bin%/*}"
    # Two runs may build at once: each puts a whole file in place.
    (cd "$root" && CGO_ENABLED=0 GOWORK=off go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$bin.$$" ./cmd/bifrost-secrets-lint)
    mv "$bin.$$" "$bin"
fi
exec "$bin" "$@"
