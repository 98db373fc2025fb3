package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// A platform is a system and its processor, in Go's words.
type platform struct{ system, processor string }

func (p platform) String() string { return p.system + "_" + p.processor }

// On Windows there is what needs no signals: lint, render, explain, store.
var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"},
}

var programs = []string{"bifrost-secrets", "bifrost-secrets-lint"}

// versionPattern is a version of the Go module system, which is one of semver
// with a v.
var versionPattern = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// file returns the name that a program has on a platform.
func (p platform) file(program string) string {
	if p.system == "windows" {
		return program + ".exe"
	}
	return program
}

// build builds the programs for each platform. The build knows neither the folder
// that it runs in nor the state of the clone: both would change its bytes.
func (r *release) build(ctx context.Context, work string) error {
	flags := fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", r.version, r.commit)
	if r.published() {
		flags += fmt.Sprintf(" -X %s/walker/lint/report.docs=https://%[1]s/blob/%s/docs/lint.md", r.home, r.version)
	}
	for _, p := range platforms {
		to := filepath.Join(work, "built", p.String())
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "dist: building for", p)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", to+string(filepath.Separator))
		for _, program := range programs {
			cmd.Args = append(cmd.Args, "./cmd/"+program)
		}
		cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, os.Stderr, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.processor, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOWORK=off")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("building for %s: %w", p, err)
		}
		r.built[p] = to
	}
	return nil
}
