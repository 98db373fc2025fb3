package render

import (
	"context"
	"fmt"

	"bifrost-secrets/sources"
)

// The access modes of a vault_store block.
const (
	ReadOnly     = "read_only" // the default
	ReadAndWrite = "read_and_write"
)

// OpenStore is [VaultStore.Open] for those who write. It is the one way to a
// [sources.Store], and refuses, before anything is opened or asked, a block whose
// access_mode does not allow writing.
func (s *VaultStore) OpenStore(ctx context.Context, backends []sources.Backend, opts sources.Options) (sources.Store, error) {
	const hint = `set "access_mode": "read_and_write" in ` + storePath + `, or give --access-mode read_and_write`
	switch s.AccessMode {
	case ReadAndWrite:
	case "", ReadOnly:
		return nil, storeError(s.from, s.path("access_mode"), hint, "the vault_store is read_only, so nothing is written to it")
	default:
		return nil, storeError(s.from, s.path("access_mode"), "write read_only or read_and_write", "unknown access_mode %q", s.AccessMode)
	}
	opts.Write = true
	source, err := s.Open(ctx, backends, opts)
	if err != nil {
		return nil, err
	}
	store, ok := source.(sources.Store)
	if !ok {
		_ = source.Close() // nothing was asked of it
		return nil, storeError(s.from, s.path("type"), "", "%s", fmt.Sprintf("%s can only be read", s.Type))
	}
	return store, nil
}
