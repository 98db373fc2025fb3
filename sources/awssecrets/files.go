package awssecrets

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/config"

	"bifrost-secrets/sources"
)

// fileMost is more than any file of settings or credentials has, in bytes.
const fileMost = 4 << 20

// checkShared refuses shared config files that the SDK would read by itself,
// whatever they are. The error is a *fs.PathError, as that of checkFiles.
func (s *source) checkShared() error {
	text := func(name string) string { v, _ := s.getenv(name); return v }
	return checkAll([]string{
		cmp.Or(text("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename()),
		cmp.Or(text("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename()),
	})
}

// checkFiles is checkShared for all files that the SDK reads.
func (s *source) checkFiles() error {
	var paths []string
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE"} {
		path, _ := s.getenv(name)
		paths = append(paths, path)
	}
	if err := checkAll(paths); err != nil {
		return err
	}
	if err := s.checkShared(); err != nil {
		return err
	}
	profile, err := s.sharedProfile()
	if err != nil {
		return nil // loading says so, where it matters
	}
	paths = []string{profile.CustomCABundle}
	for p := &profile; p != nil; p = p.Source {
		paths = append(paths, p.WebIdentityTokenFile)
	}
	return checkAll(paths)
}

func checkAll(paths []string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := sources.CheckFile(path, fileMost); err != nil {
			return err
		}
	}
	return nil
}
