//go:build race

package watch

func init() { Raced = true }
