package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// unit is the systemd unit of watch as a package has it: the program is in /usr/bin,
// and where the secrets are is said by the config, or by variables in a file that
// the administrator owns.
func unit(text string) (string, error) {
	for _, change := range []struct{ from, to string }{
		{"/usr/local/bin/", "/usr/bin/"},
		{" --vault-type file --vault-set path=/etc/bifrost/secrets", ""},
		{"ExecStart=", "EnvironmentFile=-/etc/default/bifrost-secrets\nExecStart="},
	} {
		if !strings.Contains(text, change.from) {
			return "", fmt.Errorf("the unit does not hold %q any more", change.from)
		}
		text = strings.Replace(text, change.from, change.to, 1)
	}
	return text, nil
}

const (
	// The user that the unit runs as, which Bifrost runs as too.
	sysusers = "u bifrost - \"Bifrost and its secrets\" /var/lib/bifrost\n"
	// systemd makes the user; where there is none of it, as in a container, nothing runs the unit either.
	postInstall = `#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers bifrost-secrets.conf
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
`
	defaults = `# Flags of the service, as BIFROST_SECRETS_<FLAG>; see bifrost-secrets-watch(1).
#BIFROST_SECRETS_INTERVAL=1h
# What the backend's own library reads goes here too, such as AWS_REGION.
`
)

// packages makes a deb and an rpm for each processor of Linux.
func (r *release) packages(_ context.Context, work string) error {
	own := filepath.Join(work, "package")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(r.root, "deploy", "systemd", "bifrost-secrets-watch.service"))
	if err != nil {
		return err
	}
	service, err := unit(string(text))
	if err != nil {
		return err
	}
	var contents []*files.Content
	add := func(from, to string, mode os.FileMode, kind string) {
		contents = append(contents, &files.Content{Source: from, Destination: to, Type: kind, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: r.time, Owner: "root", Group: "root"}})
	}
	write := func(name string, text []byte) string {
		name = filepath.Join(own, name)
		if err == nil {
			err = os.WriteFile(name, text, 0o644)
		}
		return name
	}
	add(write("watch.service", []byte(service)), "/usr/lib/systemd/system/bifrost-secrets-watch.service", 0o644, "")
	add(write("sysusers", []byte(sysusers)), "/usr/lib/sysusers.d/bifrost-secrets.conf", 0o644, "")
	add(write("default", []byte(defaults)), "/etc/default/bifrost-secrets", 0o600, "config|noreplace")
	script := write("postinst", []byte(postInstall))
	for from, to := range map[string]string{
		"bifrost-secrets.bash": "/usr/share/bash-completion/completions/bifrost-secrets",
		"_bifrost-secrets":     "/usr/share/zsh/vendor-completions/_bifrost-secrets",
		"bifrost-secrets.fish": "/usr/share/fish/vendor_completions.d/bifrost-secrets.fish",
	} {
		add(filepath.Join(work, "completions", from), to, 0o644, "")
	}
	add(filepath.Join(r.root, "LICENSE"), "/usr/share/doc/bifrost-secrets/copyright", 0o644, "")
	add(filepath.Join(work, licencesName), "/usr/share/doc/bifrost-secrets/LICENSES-of-dependencies.txt", 0o644, "")
	add(filepath.Join(r.root, "CHANGELOG.md"), "/usr/share/doc/bifrost-secrets/CHANGELOG.md", 0o644, "")
	pages, globbing := filepath.Glob(filepath.Join(r.root, "docs", "man", "*.1"))
	if globbing != nil || len(pages) == 0 {
		return fmt.Errorf("no man pages: %w", globbing)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		var compressed bytes.Buffer
		to, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
		if _, err := to.Write(text); err != nil {
			return err
		}
		if err := to.Close(); err != nil {
			return err
		}
		name := filepath.Base(page) + ".gz"
		add(write(name, compressed.Bytes()), "/usr/share/man/man1/"+name, 0o644, "")
	}
	if err != nil {
		return err
	}

	for _, p := range platforms {
		if p.system != "linux" {
			continue
		}
		for _, made := range []struct {
			packager nfpm.Packager
			kill     string // the package with /bin/kill, which reloads the service
		}{{deb.Default, "procps"}, {rpm.DefaultRPM, "util-linux"}} {
			packager := made.packager
			info := nfpm.WithDefaults(&nfpm.Info{
				Name: "bifrost-secrets", Arch: p.processor, Platform: "linux", Version: r.version, Section: "admin", Priority: "optional",
				Maintainer: "bifrost-secrets", Description: "Secret management for every Bifrost\nFinds the secrets of a Bifrost config, fetches them and keeps a running Bifrost fresh.",
				License: "Apache-2.0", MTime: r.time,
				Overridables: nfpm.Overridables{
					Depends: []string{made.kill},
					Scripts: nfpm.Scripts{PostInstall: script},
					RPM:     nfpm.RPM{BuildHost: "localhost", Summary: "Secret management for every Bifrost"},
				},
			})
			if r.published() {
				info.Homepage = "https://" + r.home
			}
			for _, c := range contents {
				copied := *c
				info.Contents = append(info.Contents, &copied)
			}
			for _, program := range programs {
				info.Contents = append(info.Contents, &files.Content{Source: filepath.Join(r.built[p], program), Destination: "/usr/bin/" + program, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.time, Owner: "root", Group: "root"}})
			}
			if err := nfpm.PrepareForPackager(info, strings.TrimPrefix(filepath.Ext(packager.ConventionalFileName(info)), ".")); err != nil {
				return err
			}
			name := packager.ConventionalFileName(info)
			if err := create(filepath.Join(r.out, name), func(w io.Writer) error { return packager.Package(info, w) }); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
