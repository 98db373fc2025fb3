#!/bin/sh
# Makes sure that the tests find moto_server, an emulator of AWS: on the PATH,
# or in .cache/moto, where this script puts it if it can.
set -eu
cd "$(dirname "$0")/.."
moto='moto[server]==5.2.1'

if [ -n "${MOTO_SERVER:-}" ] || command -v moto_server >/dev/null 2>&1 || [ -x .cache/moto/bin/moto_server ]; then
	exit 0
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
