package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errInUse says that another process runs on the same directory.
var errInUse = errors.New("the directory is in use by another process")

// lockDir makes sure that one process at a time uses a directory. etcd itself would wait
// without an end for the other to go.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errInUse
		}
		return nil, fmt.Errorf("embedded etcd: %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}
