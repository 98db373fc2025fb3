package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	inImage = "/usr/local/bin/bifrost-secrets"
	// A number, since Kubernetes cannot tell that a name is not root; the one that
	// distroless images use.
	nonroot = "65532:65532"
)

// A file of a layer.
type layered struct {
	name string
	mode int64
	text []byte
}

// layer makes a layer of files, with the folders above them.
func (r *release) layer(all ...layered) (v1.Layer, error) {
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	seen := map[string]bool{".": true}
	var folders func(name string) error
	folders = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		if err := folders(path.Dir(name)); err != nil {
			return err
		}
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: r.time, Format: tar.FormatPAX})
	}
	for _, f := range all {
		if err := folders(path.Dir(f.name)); err != nil {
			return nil, err
		}
		if err := archive.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), ModTime: r.time, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}

// certificates returns Mozilla's roots as a file of PEM. Those that are trusted for
// some names only are left out, since a file cannot say so.
func certificates() []byte {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return all.Bytes()
}

// own makes the program's own image for a platform: a static binary, roots, and
// a user without a name that means anything.
func (r *release) own(p platform, work string) (v1.Image, error) {
	program, err := os.ReadFile(filepath.Join(r.built[p], "bifrost-secrets"))
	if err != nil {
		return nil, err
	}
	licences, err := os.ReadFile(filepath.Join(work, licencesName))
	if err != nil {
		return nil, err
	}
	base, err := r.layer(
		layered{"etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n")},
		layered{"etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		layered{"etc/ssl/certs/ca-certificates.crt", 0o644, certificates()},
		layered{"usr/share/doc/bifrost-secrets/LICENSES-of-dependencies.txt", 0o644, licences},
	)
	if err != nil {
		return nil, err
	}
	top, err := r.layer(layered{inImage[1:], 0o755, program})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), base, top)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		"org.opencontainers.image.title": "bifrost-secrets", "org.opencontainers.image.version": r.version,
		"org.opencontainers.image.revision": r.commit, "org.opencontainers.image.licenses": "Apache-2.0",
	}
	if r.published() {
		labels["org.opencontainers.image.source"] = "https://" + r.home
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.system, p.processor, v1.Time{Time: r.time}
	for i := range config.History {
		config.History[i] = v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make dist"}
	}
	config.Config = v1.Config{
		User: nonroot, Entrypoint: []string{inImage}, WorkingDir: "/", Labels: labels,
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
	}
	return mutate.ConfigFile(image, config)
}

// platforms writes the image of all platforms as a tar of an OCI layout, which
// `docker load`, `podman load` and `skopeo copy oci-archive:` read.
func (r *release) platforms(_ context.Context, work string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		if p.system != "linux" {
			continue
		}
		image, err := r.own(p, work)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.system, Architecture: p.processor}}})
	}
	dir := filepath.Join(work, "image")
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.number(), "io.containerd.image.name": r.image + ":" + r.number()})); err != nil {
		return err
	}
	return create(filepath.Join(r.out, "bifrost-secrets_"+r.number()+"_image.tar"), func(w io.Writer) error { return r.folder(w, dir) })
}

// folder writes a folder as a tar.
func (r *release) folder(w io.Writer, dir string) error {
	archive := tar.NewWriter(w)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: r.time, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err = archive.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// inFront puts the program in front of a Bifrost image: what was its entrypoint
// becomes the command that exec starts.
func (r *release) inFront(ctx context.Context, base, config, appDir string) error {
	work, err := os.MkdirTemp("", "dist")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	image, err := load(base, filepath.Join(work, "base"))
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	old, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	if len(old.Config.Entrypoint)+len(old.Config.Cmd) == 0 {
		return fmt.Errorf("%s starts nothing by itself, so there is nothing to be in front of", base)
	}
	p := platform{old.OS, old.Architecture}
	program, err := r.program(ctx, p, work)
	if err != nil {
		return err
	}
	top, err := r.layer(layered{inImage[1:], 0o755, program})
	if err != nil {
		return err
	}
	if image, err = mutate.Append(image, mutate.Addendum{Layer: top, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make image"}}); err != nil {
		return err
	}
	changed := old.Config.DeepCopy()
	if changed.User, err = numbered(image, old.Config.User); err != nil {
		return err
	}
	// As variables, since a flag in the entrypoint could not be changed by a chart.
	changed.Env = append(changed.Env, "BIFROST_SECRETS_CONFIG="+config, "BIFROST_SECRETS_APP_DIR="+appDir)
	changed.Entrypoint = append([]string{inImage, "exec", "--"}, old.Config.Entrypoint...)
	if image, err = mutate.Config(image, *changed); err != nil {
		return err
	}
	tag, err := name.NewTag(r.image)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	to := filepath.Join(r.out, "image.tar")
	if err := tarball.WriteToFile(to, tag, image); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "dist: wrote %s: %s, which starts %q as user %s\n", to, tag, changed.Entrypoint, changed.User)
	return nil
}

// program returns the program for a platform.
func (r *release) program(ctx context.Context, p platform, work string) ([]byte, error) {
	all := platforms
	platforms = []platform{p}
	defer func() { platforms = all }()
	if err := r.build(ctx, work); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(r.built[p], "bifrost-secrets"))
}

// load reads an image: a tar of `docker save`, or one of an OCI layout with one
// image in it, which is unpacked into dir and read from there.
func load(file, dir string) (v1.Image, error) {
	image, err := tarball.ImageFromPath(file, nil)
	if err == nil {
		return image, nil
	}
	f, opening := os.Open(file)
	if opening != nil {
		return nil, opening
	}
	defer f.Close()
	archive := tar.NewReader(f)
	for {
		header, reading := archive.Next()
		if errors.Is(reading, io.EOF) {
			break
		} else if reading != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			continue
		}
		to := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		if err := create(to, func(w io.Writer) error { _, err := io.Copy(w, archive); return err }); err != nil {
			return nil, err
		}
	}
	index, indexing := layout.ImageIndexFromPath(dir)
	if indexing != nil {
		return nil, err // what docker save has was wanted first
	}
	manifest, indexing := index.IndexManifest()
	if indexing != nil {
		return nil, indexing
	}
	if len(manifest.Manifests) != 1 || !manifest.Manifests[0].MediaType.IsImage() {
		return nil, errors.New("it holds more than one image: take one of them, as with `skopeo copy --override-arch`")
	}
	return index.Image(manifest.Manifests[0].Digest)
}

// numbered returns a user in numbers, which the image's own /etc/passwd and
// /etc/group have.
func numbered(image v1.Image, user string) (string, error) {
	name, group, grouped := strings.Cut(user, ":")
	if user == "" || number(name) && (!grouped || number(group)) {
		return user, nil
	}
	files := map[string]string{}
	content := mutate.Extract(image)
	defer content.Close()
	archive := tar.NewReader(content)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", err
		}
		if at := path.Clean("/" + header.Name); at == "/etc/passwd" || at == "/etc/group" {
			text, err := io.ReadAll(archive)
			if err != nil {
				return "", err
			}
			files[at] = string(text)
		}
	}
	look := func(file, name string, at int) string {
		if number(name) {
			return name
		}
		for line := range strings.Lines(files[file]) {
			if columns := strings.Split(strings.TrimSpace(line), ":"); columns[0] == name && len(columns) > at {
				return columns[at]
			}
		}
		return ""
	}
	id, gid := look("/etc/passwd", name, 2), look("/etc/passwd", name, 3)
	if grouped {
		gid = look("/etc/group", group, 2)
	}
	if !number(id) || !number(gid) {
		return "", fmt.Errorf("the image's user is %q, which its /etc/passwd and /etc/group do not have as numbers", user)
	}
	return id + ":" + gid, nil
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
