//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// unpack unpacks an image by programs that did not make it, and returns the bundle
// that they make: its root file system is rootfs.
func unpack(t *testing.T, transport, file string) string {
	dir := t.TempDir()
	run(t, 0, "skopeo", "copy", "--quiet", "--insecure-policy", "--override-os", "linux", "--override-arch", runtime.GOARCH, transport+":"+file, "oci:"+dir+"/layout:it")
	run(t, 0, "umoci", "unpack", "--image", dir+"/layout:it", dir+"/bundle")
	return dir + "/bundle"
}

// started runs what an image starts: its entrypoint with its environment, as its
// user, on a file system that cannot be written, but for the folders named.
func started(t *testing.T, status int, bundle string, config v1.Config, writable []string, args ...string) string {
	t.Helper()
	if len(config.User) == 0 || strings.Trim(config.User, "0123456789:") != "" {
		t.Fatalf("the user %q is no number", config.User)
	}
	root := filepath.Join(bundle, "rootfs")
	script := `set -eu
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount -t tmpfs -o mode=1777 tmpfs "$root$1"; shift; done
shift
mount -o remount,bind,ro "$root"
exec env -i "$@"`
	words := []string{"--mount", "sh", "-c", script, "sh", root, config.User}
	words = append(append(words, writable...), "--")
	words = append(words, config.Env...)
	words = append(words, "/usr/sbin/chroot", "--userspec="+config.User, root)
	words = append(append(words, config.Entrypoint...), args...)
	return run(t, status, "unshare", words...)
}

// The image is read by another tool than the one that made it, and runs as a user
// without a name on a file system that cannot be written.
func TestImage(t *testing.T) {
	file := filepath.Join(made.out, "bifrost-secrets_"+tryNumber+"_image.tar")
	bundle := unpack(t, "oci-archive", file)
	image, err := load(file, t.TempDir())
	if err == nil {
		t.Errorf("an image of two platforms is taken for one: %v", image)
	}
	config := ofImage(t, file)
	if config.User != nonroot {
		t.Errorf("the user is %s", config.User)
	}
	if out := started(t, 0, bundle, config, []string{"/tmp"}, "version"); !strings.Contains(out, tryVersion) {
		t.Error(out)
	}
	if err := os.WriteFile(filepath.Join(bundle, "rootfs", "config.json"), []byte(planted), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := started(t, 1, bundle, config, []string{"/tmp"}, "lint", "/config.json"); !strings.Contains(out, "[plaintext-secret]") {
		t.Error(out)
	}
	// Roots are there, and enough of them.
	roots, err := os.ReadFile(filepath.Join(bundle, "rootfs/etc/ssl/certs/ca-certificates.crt"))
	if err != nil || strings.Count(string(roots), "BEGIN CERTIFICATE") < 100 {
		t.Errorf("%v: %d roots", err, strings.Count(string(roots), "BEGIN CERTIFICATE"))
	}
}

// ofImage returns an image's config as skopeo reads it.
func ofImage(t *testing.T, file string) v1.Config {
	config, err := v1.ParseConfigFile(strings.NewReader(run(t, 0, "skopeo", "inspect", "--config", "--override-os", "linux", "--override-arch", runtime.GOARCH, "oci-archive:"+file)))
	if err != nil {
		t.Fatal(err)
	}
	return config.Config
}

const stub = `package main

import (
	"fmt"
	"os"
)

func main() {
	text, err := os.ReadFile(os.Getenv("APP_DIR") + "/config.json")
	fmt.Printf("stub %q as %d:%d reads %s %v\n", os.Args[1:], os.Getuid(), os.Getgid(), text, err)
}
`

// The program goes in front of a Bifrost image that was made elsewhere: here one
// that starts a program which prints the config that it finds.
func TestInFront(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(stub), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "stub"), filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "stub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		user, want, bad string
		oci             bool
	}{
		{user: "appuser", want: "1000:1000"},
		{user: "1000:0", want: "1000:0", oci: true},
		{user: "appuser:app", want: "1000:2000"},
		{user: "nobody", bad: `"nobody"`},
	} {
		t.Run(test.user, func(t *testing.T) {
			layer, err := made.layer(
				layered{"etc/passwd", 0o644, []byte("root:x:0:0::/:/bin/sh\nappuser:x:1000:1000::/app:/bin/sh\n")},
				layered{"etc/group", 0o644, []byte("appuser:x:1000:\napp:x:2000:appuser\n")},
				layered{"app/main", 0o755, program},
				layered{"app/data/config.json", 0o644, []byte(`{"providers": {"openai": {"keys": [{"name": "a", "value": "vault.openai", "models": ["*"], "weight": 1}]}}, "config_store": {"enabled": true, "type": "sqlite", "vault_store": {"enabled": true, "type": "file", "file": {"path": "/run/secrets"}}}}`)},
				layered{"run/secrets/openai", 0o644, []byte("sk-fake-from-a-file\n")},
			)
			if err != nil {
				t.Fatal(err)
			}
			base, err := mutate.AppendLayers(empty.Image, layer)
			if err != nil {
				t.Fatal(err)
			}
			base, err = mutate.ConfigFile(base, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: rootFS(t, base), Config: v1.Config{
				User: test.user, Entrypoint: []string{"/app/main"}, Cmd: []string{"-port", "8080"}, Env: []string{"PATH=/usr/bin:/bin", "APP_DIR=/app/data"},
			}})
			if err != nil {
				t.Fatal(err)
			}
			tag, err := name.NewTag("bifrost:made-up")
			if err != nil {
				t.Fatal(err)
			}
			file, temporary := filepath.Join(t.TempDir(), "base.tar"), t.TempDir()
			if test.oci {
				err = ociArchive(file, t.TempDir(), base)
			} else {
				err = tarball.WriteToFile(file, tag, base)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", temporary)
			front := &release{root: made.root, out: t.TempDir(), version: tryVersion, image: "example.test/bifrost-with-secrets", built: map[platform]string{}}
			if err := front.prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			err = front.inFront(t.Context(), file, "/app/data/config.json", "/run/bifrost")
			if test.bad != "" {
				if err == nil || !strings.Contains(err.Error(), test.bad) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("what is left behind: %v %v", left, err)
			}
			archive := filepath.Join(front.out, "image.tar")
			bundle := unpack(t, "docker-archive", archive)
			image, err := load(archive, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if config.Config.User != test.want {
				t.Errorf("the user is %s, want %s", config.Config.User, test.want)
			}
			out := started(t, 0, bundle, config.Config, []string{"/run/bifrost"}, config.Config.Cmd...)
			if want := "stub [\"-port\" \"8080\"] as " + test.want + " reads "; !strings.Contains(out, want) || !strings.Contains(out, "sk-fake-from-a-file") {
				t.Errorf("got %s, want %s", out, want)
			}
		})
	}
}

// ociArchive writes an image as skopeo's oci-archive does.
func ociArchive(file, dir string, image v1.Image) error {
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendImage(image); err != nil {
		return err
	}
	return create(file, func(w io.Writer) error { return made.folder(w, dir) })
}

func rootFS(t *testing.T, image v1.Image) v1.RootFS {
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}
