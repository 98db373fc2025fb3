package hashivault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// certificatesMost is more than any file of certificates has, in bytes.
const certificatesMost = 4 << 20

// checkFiles refuses what the client would read by itself, whatever it is.
func checkFiles() *sources.Error {
	for _, name := range []string{api.EnvVaultCACert, api.EnvVaultCAPath, api.EnvVaultClientCert, api.EnvVaultClientKey} {
		path := os.Getenv(name)
		paths := []string{path}
		if name == api.EnvVaultCAPath {
			entries, _ := os.ReadDir(path) // the client says if it cannot
			paths = nil
			for _, e := range entries[:min(len(entries), 10_000)] {
				if !e.IsDir() {
					paths = append(paths, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, path := range paths {
			var at *fs.PathError
			if err := regular.CheckFile(path, certificatesMost); path != "" && errors.As(err, &at) {
				return sources.NewError(sources.BadSettings, fmt.Sprintf("%s: %s cannot be read: %v", name, path, at.Err), "name a file of certificates in PEM")
			}
		}
	}
	return nil
}
