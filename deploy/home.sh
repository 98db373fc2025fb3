#!/bin/sh
# Writes where this repository is published, everywhere in it:
#
#   make home PATH=github.com/acme/bifrost-secrets IMAGE=ghcr.io/acme/bifrost-secrets
#
# The first is the path of the Go module, and, behind https://, the address for
# pre-commit and downloads. Images are below IMAGE; without it, they are where the
# module is. A later run starts from what stands in go.mod and in the Makefile.
set -eu
cd "$(dirname "$0")/.."
home=${1:-}
image=${2:-$(printf %s "$home" | tr A-Z a-z)}
case $home in
*[!A-Za-z0-9./_-]* | */ | '' | /* | *//*) good= ;;
*.*/*) good=yes ;;
*) good= ;;
esac
case $image in
*[!a-z0-9./_:-]* | '' | */) good= ;;
esac
if [ -z "$good" ]; then
	echo "bifrost-secrets: \"$home\" with images at \"$image\" is no place to publish at" >&2
	echo 'bifrost-secrets: hint: write a host and a path, as in make home PATH=github.com/acme/bifrost-secrets' >&2
	exit 2
fi
old=$(sed -n 's/^module //p' go.mod)
escaped=$(printf %s "$old" | sed 's/[.]/\\./g')
images=$(sed -n 's|^IMAGE ?= \(.*\)/[^/]*$|\1|p' Makefile | sed 's/[.]/\\./g')

# replace FILE SCRIPT: as sed -i, which not every sed has in the same way.
replace() {
	sed "$2" "$1" >"$1.home"
	cmp -s "$1" "$1.home" || cat "$1.home" >"$1" # so that its mode stays
	rm -f "$1.home"
}

replace go.mod "s|^module .*|module $home|"
replace Makefile "s|-X $escaped/|-X $home/|; s|^DOCS ?=.*|DOCS ?= https://$home/blob/\$(or \$(VERSION),main)/docs/lint.md|; s|^IMAGE ?=.*|IMAGE ?= $image|"
# One process for all: there are hundreds of files.
find . -name '*.go' -not -path './.*' -exec grep -l "\"$escaped/" {} + | awk -v old="\"$old/" -v new="\"$home/" '{
	text = ""
	changed = 0
	while ((read = (getline line <$0)) > 0) {
		at = index(line, old)
		if (at && substr(line, 1, at - 1) ~ /^(import )?[ \t]*([A-Za-z_.]* )?$/ && line ~ /"$/) {
			line = substr(line, 1, at - 1) new substr(line, at + length(old))
			changed = 1
		}
		text = text line "\n"
	}
	close($0)
	if (read < 0) exit 1
	if (changed) printf "%s", text >$0
	close($0)
}'

# Where nothing is published yet, the documentation shows a clone beside the
# reader's repository, and a host that nobody can have.
grep -ls -e 'repo: \.\./bifrost-secrets' -e "repo: https://$escaped\$" -e "$images/bifrost-" \
	README.md docs/*.md docs/*/*.md deploy/*.md deploy/*/*.yaml deploy/*/*/*.yaml | while read -r file; do
	replace "$file" "s|repo: \\.\\./bifrost-secrets  *# a clone of this repository|repo: https://$home|
s|repo: https://$escaped\$|repo: https://$home|
s|$images/bifrost-with-secrets|${image%/*}/bifrost-with-secrets|g
s|$images/bifrost-secrets|$image|g"
done
echo "bifrost-secrets: the module is $home, images are at $image" >&2
