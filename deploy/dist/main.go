// Dist makes what a release consists of: archives, packages, an image of two
// platforms, a bill of materials and the sums of all of them. It is a module of
// its own, so what it needs is not needed by the program.
//
//	go run . -version v0.1.0              # the release, in dist/ of the repository
//	go run . -base bifrost.tar            # a Bifrost image with the program in front, dist/image.tar
//
// The same commit gives the same bytes, whoever makes them and when.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A release is what is made, and of what.
type release struct {
	root    string    // of the repository
	out     string    // the folder that all goes to
	version string    // vX.Y.Z
	commit  string    // in full; empty outside of a clone
	home    string    // the path of the Go module; without a dot in its host, there is no home yet
	image   string    // what the image is called
	time    time.Time // that of the commit, which every file gets
	built   map[platform]string
}

// published reports whether the repository has a home: an address that others can
// reach.
func (r *release) published() bool {
	host, _, _ := strings.Cut(r.home, "/")
	return strings.Contains(host, ".")
}

// number returns the version without its v.
func (r *release) number() string { return strings.TrimPrefix(r.version, "v") }

func main() {
	r := &release{built: map[platform]string{}}
	var base, config, appDir string
	flag.StringVar(&r.root, "root", "../..", "the repository")
	flag.StringVar(&r.out, "out", "", "the folder that is written (default: dist in the repository)")
	flag.StringVar(&r.version, "version", "", "the version, as v0.1.0")
	flag.StringVar(&r.image, "image", "bifrost-secrets", "what the image is called")
	flag.StringVar(&base, "base", "", "a Bifrost image, as docker save or skopeo write it: put the program in front of it, and make nothing else")
	flag.StringVar(&config, "config", "/app/data/config.json", "with -base: where the config with references is mounted")
	flag.StringVar(&appDir, "app-dir", "/run/bifrost", "with -base: where the resolved config goes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	err := r.prepare(ctx)
	switch {
	case err != nil:
	case base != "":
		err = r.inFront(ctx, base, config, appDir)
	default:
		err = r.all(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// prepare looks up what the release is made of.
func (r *release) prepare(ctx context.Context) (err error) {
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	if r.out == "" {
		r.out = filepath.Join(r.root, "dist")
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if r.home, err = r.ask(ctx, "go", "list", "-m"); err != nil {
		return err
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if r.commit, err = r.ask(ctx, "git", "rev-parse", "HEAD"); err != nil {
		r.commit = ""
	} else if seconds == "" {
		if seconds, err = r.ask(ctx, "git", "log", "-1", "--format=%ct"); err != nil {
			return err
		}
	}
	if seconds == "" {
		return errors.New("this is no clone: say when the release was made, as SOURCE_DATE_EPOCH in seconds since 1970")
	}
	stamp, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.time = time.Unix(stamp, 0).UTC()
	return nil
}

// all makes the release. What was in the folder before goes, so that the sums are
// of this release alone.
func (r *release) all(ctx context.Context) error {
	if !versionPattern.MatchString(r.version) {
		return fmt.Errorf("-version %q is no version: it is written as v0.1.0", r.version)
	}
	if changed, err := r.ask(ctx, "git", "status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		fmt.Fprintln(os.Stderr, "dist: note: there are changes that are in no commit")
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "dist")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, step := range []func(context.Context, string) error{r.build, r.describe, r.archives, r.packages, r.platforms, r.formula, r.sums} {
		if err := step(ctx, work); err != nil {
			return err
		}
	}
	return nil
}

// ask runs a command in the repository and returns the line that it prints.
func (r *release) ask(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
