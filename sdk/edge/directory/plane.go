package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	currentLink  = "current"
	generations  = "generations"
	releasesFile = "releases.json"
)

// Plane writes generations into a directory.
type Plane struct {
	dir string

	mu      sync.RWMutex
	serving string // the name of the generation that serves; empty before the first Apply
}

var _ edge.Applier = (*Plane)(nil)

// New returns a data plane that writes into dir, and makes it where it is not there.
func New(dir string) (*Plane, error) {
	if err := os.MkdirAll(filepath.Join(dir, generations), 0o750); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	return &Plane{dir: dir}, nil
}

// Apply implements edge.Applier.
func (p *Plane) Apply(ctx context.Context, g edge.Generation) error {
	next, err := os.MkdirTemp(filepath.Join(p.dir, generations), "g-")
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := p.build(ctx, g, next); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	if err := p.swap(filepath.Base(next)); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	return nil
}

// build writes a generation that nobody reads yet.
func (p *Plane) build(ctx context.Context, g edge.Generation, next string) error {
	if err := os.Chmod(next, 0o750); err != nil { //nolint:gosec // a directory needs to be entered
		return fmt.Errorf("directory: %w", err)
	}
	if before := p.path(); before != "" && !g.Full() {
		if err := link(ctx, before, next); err != nil {
			return err
		}
	}
	for c, err := range g.Changes() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		g.InHand(c.ID)
		if err := write(next, c); err != nil {
			return err
		}
	}
	g.InHand(wire.DocumentID{})
	text, err := json.MarshalIndent(g.Releases(), "", "  ")
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return replace(filepath.Join(next, releasesFile), append(text, '\n'))
}

// link fills a generation with the files of the one before.
func link(ctx context.Context, before, next string) error {
	err := filepath.WalkDir(before, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(before, path)
		if err != nil || name == "." || name == releasesFile {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(filepath.Join(next, name), 0o750)
		}
		return os.Link(path, filepath.Join(next, name)) //nolint:gosec // the plane owns the directory; nobody else writes there
	})
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}

func write(next string, c edge.Change) error {
	path := filepath.Join(next, c.ID.Kind, url.PathEscape(c.ID.ID)+".json")
	if c.Removed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("directory: %w", err)
		}
		return nil
	}
	text, known, err := render(c.ID.Kind, c.Body)
	if err != nil {
		return &edge.RejectError{Document: c.ID, Sum: c.Sum, Reason: err.Error()}
	}
	if !known {
		return nil // a kind of a later version is served by nobody
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return replace(path, text)
}

// replace writes a new file: the old one may be a link that the generation before shares.
func replace(path string, text []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory: %w", err)
	}
	if err := os.WriteFile(path, text, 0o640); err != nil { //nolint:gosec // the server's programs read it, by their group
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}

// swap makes a generation serve, and removes those that nobody reads any more.
func (p *Plane) swap(next string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	link := filepath.Join(p.dir, currentLink)
	before, err := os.Readlink(link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory: %w", err)
	}
	if err := os.Remove(link + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory: %w", err)
	}
	if err := os.Symlink(filepath.Join(generations, next), link+".new"); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	p.serving = next
	// What cannot be removed now is removed after the next swap.
	entries, _ := os.ReadDir(filepath.Join(p.dir, generations))
	for _, e := range entries {
		if e.Name() != next && e.Name() != filepath.Base(before) {
			_ = os.RemoveAll(filepath.Join(p.dir, generations, e.Name()))
		}
	}
	return nil
}

// path is where the generation is that serves, or empty.
func (p *Plane) path() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.serving == "" {
		return ""
	}
	return filepath.Join(p.dir, generations, p.serving)
}

// Healthy implements edge.Applier: what serves must be there, and `current` lead to it.
func (p *Plane) Healthy(context.Context) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.serving == "" {
		return nil
	}
	to, err := os.Readlink(filepath.Join(p.dir, currentLink))
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if filepath.Base(to) != p.serving {
		return fmt.Errorf("directory: somebody made %s lead to %s", currentLink, to)
	}
	if _, err := os.Stat(filepath.Join(p.dir, to, releasesFile)); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}
