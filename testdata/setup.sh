#!/bin/sh
# Makes sure that the tests find what they need beside Go: moto_server, an
# emulator of AWS, and promtool, which checks the metrics. Each may be on the
# PATH, or else this script puts it into .cache, if it can.
set -eu
cd "$(dirname "$0")/.."
moto='moto[server]==5.2.1'

set_up_moto() {
	if [ -n "${MOTO_SERVER:-}" ] || command -v moto_server >/dev/null 2>&1 || [ -x .cache/moto/bin/moto_server ]; then
		return
	fi
	echo "setting up $moto in .cache/moto" >&2
	if ! command -v python3 >/dev/null 2>&1 || ! python3 -m venv .cache/moto; then
		echo "the tests need Python 3 with venv: apt-get install python3-venv" >&2
		exit 1
	fi
	if ! .cache/moto/bin/pip install --quiet "$moto"; then
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
	if ! (cd .cache/prometheus && apt-get download prometheus && dpkg-deb -x prometheus_*.deb .) >&2 || [ ! -x .cache/prometheus/usr/bin/promtool ]; then
		rm -rf .cache/prometheus
		echo "promtool could not be fetched; install it by hand (apt-get install prometheus, or brew install prometheus)" >&2
		echo "so that it is on the PATH" >&2
		exit 1
	fi
	rm -f .cache/prometheus/*.deb .cache/prometheus/usr/bin/prometheus
}

set_up_moto
set_up_promtool
