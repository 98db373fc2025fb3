//go:build !unix

package lintcmd

import "os"

// keepOwner does nothing where a new file belongs to whom the folder says.
func keepOwner(*os.File, os.FileInfo) error { return nil }
