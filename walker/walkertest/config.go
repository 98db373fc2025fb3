// Package walkertest makes Bifrost-shaped documents of any size for tests and
// benchmarks.
package walkertest

import (
	"bytes"
	"fmt"
)

// Shape says what a document should be like.
type Shape struct {
	Size       int // bytes, about
	References int // number of references to secrets; the other values are literals
	Secrets    int // number of distinct secrets that they refer to
}

// Name returns the name of the i-th secret that a document of any shape refers to.
func Name(i int) string { return fmt.Sprintf("bifrost/team-%04d/provider-key", i) }

// Config makes a document with providers, virtual keys and MCP clients in about
// the proportions of a large gateway: each record is some 500 bytes, of which
// one value is a secret.
func Config(s Shape) []byte {
	const record = 520
	records := max(1, s.Size/record)
	var b bytes.Buffer
	b.Grow(s.Size + s.Size/8)
	b.WriteString("{\n  \"$schema\": \"https://www.getbifrost.ai/schema\",\n  \"providers\": {\n")
	ref := 0
	value := func(i int) string {
		// References are spread evenly over the records.
		if (i+1)*s.References/records == i*s.References/records || s.Secrets == 0 {
			return fmt.Sprintf("sk-example-%08d-not-a-real-key", i)
		}
		ref++
		return "vault." + Name(ref%s.Secrets) + "#api_key"
	}
	providers := records / 4
	for i := range providers {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `    "provider-%05d": {
      "keys": [
        {
          "name": "provider-%05d-primary",
          "value": %q,
          "models": ["gpt-4o", "gpt-4o-mini", "o3-mini", "text-embedding-3-large"],
          "weight": 1.0
        }
      ],
      "network_config": {
        "base_url": "https://provider-%05d.example.com/v1",
        "default_request_timeout_in_seconds": 60,
        "max_retries": 3
      },
      "concurrency_and_buffer_size": {"concurrency": 100, "buffer_size": 500}
    }`, i, i, value(i), i)
	}
	b.WriteString("\n  },\n  \"governance\": {\n    \"virtual_keys\": [\n")
	for i := providers; i < records; i++ {
		if i > providers {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `      {
        "id": "vk-%06d",
        "name": "team %d, service %d",
        "description": "issued to the service for its own use, reviewed every quarter",
        "value": %q,
        "is_active": true,
        "provider_configs": [
          {"provider": "provider-00001", "weight": 0.5, "allowed_models": ["gpt-4o", "gpt-4o-mini"]},
          {"provider": "provider-00002", "weight": 0.5, "allowed_models": ["o3-mini"]}
        ],
        "team_id": "team-%04d"
      }`, i, i%97, i, value(i), i%97)
	}
	b.WriteString("\n    ]\n  }\n}\n")
	return b.Bytes()
}
