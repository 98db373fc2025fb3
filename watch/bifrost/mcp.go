package bifrost

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"bifrost-secrets/walker"
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

func (j *job) durations(what string, top value) ([]change, *Error) {
	var changes []change
	for _, d := range durations {
		v := top.member(d.member)
		if k := v.kind(); k == 0 || k == 'n' {
			continue
		}
		nano, whole, isNumber := v.number()
		switch {
		case !isNumber:
			return nil, unknownShape(what, "has a "+d.member+" that is no number")
		case whole && nano > -1e9 && nano < 1e9:
			// A time of less than a second is not meant: it is read in the unit that it
			// is written in.
		case !whole || d.unit == 0 || !j.of.before(d.below) || nano%d.unit != 0:
			return nil, unknownShape(what, "has a "+d.member+" of an unknown unit")
		default:
			changes = append(changes, change{[]walker.Step{{Name: d.member}}, strconv.FormatInt(nano/d.unit, 10)})
		}
	}
	return changes, nil
}

func (j *job) clientList(ctx context.Context) (value, *Error) {
	return j.pages(ctx, "/api/mcp/clients", "clients", "config", "client_id")
}

func pickClient(list value, name string) (value, *Error) {
	return pick(list, "clients", "mcp client", "config", name, "client_id")
}

// mcpRecord is an MCP client. Where it has a connection that stays open, that goes
// on with the headers that it began with, so that it has to be opened anew.
func (j *job) mcpRecord(name string) record {
	what := quoted("mcp client %s", name)
	path := func(top value) string {
		id, _ := top.member("client_id").text()
		return "/api/mcp/client/" + url.PathEscape(id)
	}
	r := record{
		what: what,
		read: func(ctx context.Context) (value, *Error) {
			list, f := j.clientList(ctx)
			if f != nil {
				return list, f
			}
			return pickClient(list, name)
		},
		check: func(top value, _ []place) *Error {
			if tools := top.member("tools_to_execute").kind(); !j.of.has("mcp-patch") && tools != 0 && tools != 'n' && tools != '[' {
				return unknownShape(what, "has no list of tools_to_execute")
			}
			if top.member("headers").kind() != '{' {
				return unknownShape(what, "has no headers")
			}
			return nil
		},
		path: path,
		after: func(ctx context.Context, top value) *Error {
			if !j.staysOpen(top) {
				return nil
			}
			f := j.put(ctx, http.MethodPost, path(top)+"/reconnect", nil)
			if f != nil && errors.Is(f.Err, errPerCall) {
				return nil
			}
			if f != nil && f.state != watch.RestartRequired {
				f.busy = false // the headers are in already
				f.Reason = what + " has the new headers and could not connect with them: " + f.Reason
				f.Hint = "does the mcp server take the new value? it is tried again"
			}
			return f
		},
	}
	if j.of.has("mcp-patch") {
		r.only = "headers"
	} else {
		r.adapt = func(top value, _ [][]walker.Step) ([]change, *Error) { return j.durations(what, top) }
	}
	return r
}

// staysOpen reports whether an MCP client may have a connection that was opened
// with the headers from before.
func (j *job) staysOpen(client value) bool {
	disabled, _ := client.member("disabled").boolean()
	sticky, _ := client.member("needs_session_stickiness").boolean()
	switch {
	case disabled:
		return false // it has none, and takes none
	case !j.of.has("mcp-per-call"):
		return true
	}
	return sticky || !client.member("connection_type").is("http")
}
