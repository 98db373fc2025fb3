package bifrost

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// durations turns the times of an MCP client that are read in nanoseconds and written
// in another unit: sent back as they are, they would become another time. The unit is
// known of one alone, in the versions that are known and want the whole client; later
// ones count in seconds in their database, and how their API does is not known.
func (j *job) durations(what string, top value) ([]change, *Error) {
	var changes []change
	const minute = 60e9
	for _, name := range []string{"tool_sync_interval", "tool_execution_timeout"} {
		v := top.member(name)
		nano, whole, isNumber := v.number()
		switch {
		case !v.isSet():
		case !isNumber:
			return nil, unknownShape(what, "has a "+name+" that is no number")
		case whole && nano > -1e9 && nano < 1e9:
			// A time of less than a second is not meant: it is read in the unit that it
			// is written in.
		case !whole || name != "tool_sync_interval" || j.of == (release{}) || nano%minute != 0:
			return nil, unknownShape(what, "has a "+name+" of an unknown unit")
		default:
			changes = append(changes, change{[]walker.Step{{Name: name}}, strconv.FormatInt(nano/minute, 10)})
		}
	}
	return changes, nil
}

var clients = collection{path: "/api/mcp/clients", one: "/api/mcp/client", in: "clients", what: "mcp client", inner: "config", id: "client_id"}

// mcpRecord is an MCP client. Where it has a connection that stays open, that goes
// on with the headers that it began with, so that it has to be opened anew.
func (j *job) mcpRecord(name string) record {
	r := j.record(clients, name)
	r.check = func(top value, _ []place) *Error {
		if tools := top.member("tools_to_execute"); !j.of.has("mcp-patch") && tools.isSet() && tools.kind() != '[' {
			return unknownShape(r.what, "has no list of tools_to_execute")
		}
		if top.member("headers").kind() != '{' {
			return unknownShape(r.what, "has no headers")
		}
		return nil
	}
	r.after = func(ctx context.Context, top value) *Error {
		if !j.staysOpen(top) {
			return nil
		}
		f := j.put(ctx, http.MethodPost, r.path(top)+"/reconnect", nil)
		switch {
		case f == nil || errors.Is(f.Err, errPerCall):
			return nil
		case f.state != watch.RestartRequired:
			f.busy = false // the headers are in already
			f.Reason = r.what + " has the new headers and could not connect with them: " + f.Reason
			f.Hint = "does the mcp server take the new value? it is tried again"
		}
		return f
	}
	if j.of.has("mcp-patch") {
		r.only = "headers"
	} else {
		r.adapt = func(top value, _ [][]walker.Step) ([]change, *Error) { return j.durations(r.what, top) }
	}
	return r
}

// staysOpen reports whether an MCP client may have a connection that was opened
// with the headers from before.
func (j *job) staysOpen(client value) bool {
	disabled, _ := client.member("disabled").boolean() // it has none, and takes none
	sticky, _ := client.member("needs_session_stickiness").boolean()
	return !disabled && (sticky || !j.of.has("mcp-per-call") || !client.member("connection_type").is("http"))
}
