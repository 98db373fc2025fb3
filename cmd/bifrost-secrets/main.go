// Command bifrost-secrets fetches the secrets that a Bifrost config refers to
// and writes the config that a Bifrost can start with.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
