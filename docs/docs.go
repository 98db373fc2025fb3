// Package docs holds the pages of this folder that the programs quote.
package docs

import _ "embed"

// Lint is the page about the rules of lint.
//
//go:embed lint.md
var Lint string
