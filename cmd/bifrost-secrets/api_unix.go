//go:build unix

package main

import "bifrost-secrets/watch"

// api gives the client of Bifrost's management API.
func (d *daemon) api() watch.Applier { return nil }
