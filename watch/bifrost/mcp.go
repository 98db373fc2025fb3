package bifrost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"bifrost-secrets/watch"
)

// durations are the members of an MCP client that are read in nanoseconds and
// written in another unit: sent back as they are, they would become another
// time. Below a version the unit is known; later versions count in seconds in
// their database, and how their API does is not known.
var durations = []struct {
	member string
	below  release // the unit holds below this version; zero for none
	unit   int64
}{
	{"tool_sync_interval", release{1, 6, 0}, 60e9},
	{"tool_execution_timeout", release{}, 0},
}

func (j *job) durations(what string, tree any) ([]change, *fault) {
	o, _ := object(what, tree)
	v, known := parseVersion(j.of)
	var changes []change
	for _, d := range durations {
		if o[d.member] == nil {
			continue
		}
		n, isNumber := o[d.member].(json.Number)
		if !isNumber {
			return nil, unknownShape(what, "has a "+d.member+" that is no number")
		}
		nano, err := n.Int64()
		switch {
		case err == nil && nano > -1e9 && nano < 1e9:
			// A time of less than a second is not meant: it is read in the unit that it
			// is written in.
		case err != nil || d.unit == 0 || !known || v.compare(d.below) >= 0 || nano%d.unit != 0:
			return nil, unknownShape(what, "has a "+d.member+" of an unknown unit")
		default:
			changes = append(changes, change{steps: []step{{kind: member, name: d.member}}, json: strconv.FormatInt(nano/d.unit, 10)})
		}
	}
	return changes, nil
}

const clientsPath = "/api/mcp/clients"

func (j *job) clientList(ctx context.Context) listing {
	tree, raw, f := j.pages(ctx, clientsPath, "clients", "config.client_id")
	return listing{tree, raw, f}
}

// client picks one of the list of MCP clients.
func (l listing) client(name string) (any, []byte, *fault) {
	if l.fault != nil {
		return nil, nil, l.fault
	}
	return pick(l.tree, l.raw, "clients", "mcp client", "config", name, "client_id")
}

// mcpRecord is an MCP client. Where it has a connection that stays open, that goes
// on with the headers that it began with, so that it has to be opened anew.
func (j *job) mcpRecord(name string) record {
	what := quoted("mcp client %s", name)
	r := record{
		what: what,
		read: func(ctx context.Context) (any, []byte, *fault) { return j.clientList(ctx).client(name) },
		check: func(tree any, _ []place) *fault {
			o, _ := object(what, tree)
			if _, ok := o["headers"].(map[string]any); !ok {
				return unknownShape(what, "has no headers")
			}
			return nil
		},
		write: func(ctx context.Context, tree any, raw []byte) *fault {
			o, _ := tree.(map[string]any)
			id, _ := o["client_id"].(string)
			path := "/api/mcp/client/" + url.PathEscape(id)
			if f := j.put(ctx, http.MethodPut, path, raw); f != nil {
				return f
			}
			if !j.staysOpen(o) {
				return nil
			}
			f := j.put(ctx, http.MethodPost, path+"/reconnect", nil)
			if f != nil && errors.Is(f.err, errPerCall) {
				return nil
			}
			if f != nil && f.state != watch.RestartRequired {
				f.busy = false // the headers are in already
				f.reason = what + " has the new headers and could not connect with them: " + f.reason
				f.hint = "does the mcp server take the new value? it is tried again"
			}
			return f
		},
	}
	if has(j.of, "mcp-patch") {
		r.only = "headers"
		return r
	}
	headers := r.check
	r.check = func(tree any, places []place) *fault {
		o, _ := object(what, tree)
		if _, ok := o["tools_to_execute"].([]any); !ok && o["tools_to_execute"] != nil {
			return unknownShape(what, "has no list of tools_to_execute")
		}
		return headers(tree, places)
	}
	r.adapt = func(tree any, _ []place) ([]change, *fault) { return j.durations(what, tree) }
	return r
}

// staysOpen reports whether an MCP client may have a connection that was opened
// with the headers from before.
func (j *job) staysOpen(o map[string]any) bool {
	switch {
	case o["disabled"] == true:
		return false // it has none, and takes none
	case !has(j.of, "mcp-per-call"):
		return true
	}
	return o["needs_session_stickiness"] == true || o["connection_type"] != "http"
}
