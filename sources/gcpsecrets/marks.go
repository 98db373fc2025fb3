package gcpsecrets

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"bifrost-secrets/sources"
)

// marks are the annotations that say whose a secret is. Labels hold 63 of
// a-z 0-9 _ - alone, too few for an owner and a JSON path, so the one label is for
// people who filter by it. Everybody who may list secrets sees both.
var marks = sources.Tags{
	Owner: "bifrost-secrets-owner", Path: "bifrost-secrets-path",
	Max: 6 << 10, Parts: 1, // of the 16 KiB that all annotations of a secret may have
}

// writeAnnotation has the write that was begun last: see claim.
const writeAnnotation = "bifrost-secrets-write"

func markOf(s *secret) *sources.Mark {
	texts := maps.Clone(s.Annotations)
	if texts == nil {
		texts = map[string]string{}
	}
	texts[sources.ToolKey] = s.Labels[sources.ToolKey]
	return marks.Mark(texts)
}

// marked returns the labels and annotations of a secret with those of a write in
// them.
func (d *described) marked(texts map[string]string, c claim) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	maps.Copy(labels, d.Labels)
	maps.Copy(annotations, d.Annotations)
	for key, text := range texts {
		if key == sources.ToolKey {
			labels[key] = text
		} else {
			annotations[key] = text
		}
	}
	annotations[writeAnnotation] = c.String()
	return labels, annotations
}

// claim is a write that was begun: on top of the version base, at that time.
// AddSecretVersion has no condition; the claim before it has, by the etag of
// the secret, so of two who want to write only one gets to add a version.
type claim struct {
	token string
	base  int
	at    time.Time
}

// claimFor is how long others wait for the version that was claimed.
const claimFor = time.Minute

func (c claim) String() string { return fmt.Sprintf("%s %d %d", c.token, c.base, c.at.Unix()) }

func parseClaim(text string) claim {
	parts := strings.Fields(text)
	if len(parts) != 3 {
		return claim{}
	}
	base, err := strconv.Atoi(parts[1])
	seconds, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || err2 != nil {
		return claim{}
	}
	return claim{parts[0], base, time.Unix(seconds, 0)}
}
