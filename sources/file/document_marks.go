package file

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"bifrost-secrets/sources"
)

// indexSuffix ends the name of the index, which stands beside the JSON file.
const indexSuffix = ".bifrost-secrets.json"

// maxIndex bounds the index, in bytes.
const maxIndex = 64 << 20

// index is what is kept of the secrets in a JSON file that are ours. It has
// nothing of a value. As the file, it is written whole at each write.
//
// It is written before the secret that it tells of, and after the one that was
// deleted: whoever is killed in between leaves a mark of a secret that is not
// there, which counts for nothing, and never a secret of ours without a mark.
type index struct {
	// Document is the version of the JSON file after our last write: where the
	// file has another, a person has changed it, and anything in it.
	Document string           `json:"document,omitempty"`
	Secrets  map[string]entry `json:"secrets"`
}

// entry gives what is kept of a secret that exists, or nil.
func (x *index) entry(name string) *entry {
	e, ok := x.Secrets[name]
	if !ok {
		return nil
	}
	return &e
}

// marks reads the index. Where there is none, nothing is ours.
func (k *keeper) marks(root *os.Root) (*index, error) {
	x := &index{}
	name := k.prefix + indexSuffix
	subject := filepath.Join(k.dir, name)
	c, err := readFile(root, name, subject, maxIndex, nil)
	if sources.KindOf(err) == sources.NotFound {
		x.Secrets = map[string]entry{}
		return x, nil
	}
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(c.data))
	if err := decoder.Decode(x); err != nil || x.Secrets == nil {
		return nil, &sources.Error{
			Kind: sources.Unusable, Message: subject + " cannot be read: it says which secrets are ours",
			Hint: "restore it from a copy; without it, every secret there counts as somebody else's",
		}
	}
	return x, nil
}

// saveIndex stages the index, and puts it in place.
func (k *keeper) saveIndex(root *os.Root, x *index) error {
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	name := k.prefix + indexSuffix
	old, _ := root.Lstat(name)
	s, err := k.stage(root, ".", append(b, '\n'), old)
	if err != nil {
		return writeFailure(filepath.Join(k.dir, name), err)
	}
	return writeFailure(filepath.Join(k.dir, name), k.commit(s, name))
}
