package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An entry is a file of an archive.
type entry struct {
	name string
	from string // the file that it is read from
	mode int64
}

// contents returns the files of a platform's archive, by name.
func (r *release) contents(p platform, work string) (all []entry, err error) {
	for _, program := range programs {
		all = append(all, entry{p.file(program), filepath.Join(r.built[p], p.file(program)), 0o755})
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		all = append(all, entry{name, filepath.Join(r.root, name), 0o644})
	}
	all = append(all, entry{"LICENSES-of-dependencies.txt", filepath.Join(work, licencesName), 0o644})
	for _, folder := range []struct{ from, to, pattern string }{
		{filepath.Join(r.root, "docs", "man"), "man", "*.1"},
		{filepath.Join(work, "completions"), "completions", "*"},
	} {
		if p.system == "windows" && folder.to == "man" {
			continue
		}
		names, err := filepath.Glob(filepath.Join(folder.from, folder.pattern))
		if err != nil || len(names) == 0 {
			return nil, fmt.Errorf("nothing in %s: %w", folder.from, err)
		}
		for _, name := range names {
			all = append(all, entry{folder.to + "/" + filepath.Base(name), name, 0o644})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// archives packs the programs of each platform with what belongs to them.
func (r *release) archives(_ context.Context, work string) error {
	for _, p := range platforms {
		all, err := r.contents(p, work)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("bifrost-secrets_%s_%s", r.number(), p)
		pack, ending := r.tarGz, ".tar.gz"
		if p.system == "windows" {
			pack, ending = r.zip, ".zip"
		}
		err = create(filepath.Join(r.out, name+ending), func(w io.Writer) error { return pack(w, name, all) })
		if err != nil {
			return err
		}
	}
	return nil
}

// tarGz writes an archive below one folder.
func (r *release) tarGz(w io.Writer, folder string, all []entry) error {
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	for _, e := range all {
		text, err := os.ReadFile(e.from)
		if err != nil {
			return err
		}
		header := tar.Header{Name: folder + "/" + e.name, Mode: e.mode, Size: int64(len(text)), ModTime: r.time, Format: tar.FormatPAX}
		if err := archive.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := archive.Write(text); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

// zip writes an archive below one folder.
func (r *release) zip(w io.Writer, folder string, all []entry) error {
	archive := zip.NewWriter(w)
	for _, e := range all {
		text, err := os.ReadFile(e.from)
		if err != nil {
			return err
		}
		to, err := archive.CreateHeader(&zip.FileHeader{Name: folder + "/" + e.name, Method: zip.Deflate, Modified: r.time})
		if err != nil {
			return err
		}
		if _, err := to.Write(text); err != nil {
			return err
		}
	}
	return archive.Close()
}

// sums writes SHA256SUMS, which `sha256sum -c` reads, and prints the sizes.
func (r *release) sums(context.Context, string) error {
	names, err := filepath.Glob(filepath.Join(r.out, "*"))
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(content), filepath.Base(name))
		fmt.Fprintf(os.Stderr, "dist: %10d  %s\n", len(content), filepath.Base(name))
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(text.String()), 0o644)
}

// create writes a file, and removes it again where that fails.
func create(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}
