package agenda

import (
	"container/heap"
	"time"
)

// deadlines orders keys by when they are due. It belongs to whoever holds the lock of its Agenda.
type deadlines struct {
	byKey map[string]*deadline
	queue deadlineQueue
}

type deadline struct {
	key  string
	when time.Time
	at   int
}

func newDeadlines() *deadlines { return &deadlines{byKey: map[string]*deadline{}} }

// set says when a key is due.
func (d *deadlines) set(key string, when time.Time) {
	if e, ok := d.byKey[key]; ok {
		e.when = when
		heap.Fix(&d.queue, e.at)
		return
	}
	e := &deadline{key: key, when: when}
	d.byKey[key] = e
	heap.Push(&d.queue, e)
}

// drop says that a key is never due.
func (d *deadlines) drop(key string) {
	if e, ok := d.byKey[key]; ok {
		heap.Remove(&d.queue, e.at)
		delete(d.byKey, key)
	}
}

// next takes the key that has been due for longest, unless skip wants it to stay. ok is
// false when no other is due by now.
func (d *deadlines) next(now time.Time, skip func(key string) bool) (key string, ok bool) {
	var stay []*deadline
	for len(d.queue) > 0 && !now.Before(d.queue[0].when) {
		e, _ := heap.Pop(&d.queue).(*deadline)
		if e == nil {
			break
		}
		if skip(e.key) {
			stay = append(stay, e)
			continue
		}
		delete(d.byKey, e.key)
		key, ok = e.key, true
		break
	}
	for _, e := range stay {
		heap.Push(&d.queue, e)
	}
	return key, ok
}

// deadlineQueue implements heap.Interface, the earliest first.
type deadlineQueue []*deadline

func (q deadlineQueue) Len() int { return len(q) }

func (q deadlineQueue) Less(i, j int) bool { return q[i].when.Before(q[j].when) }

func (q deadlineQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push is for container/heap.
func (q *deadlineQueue) Push(x any) {
	if e, ok := x.(*deadline); ok {
		e.at = len(*q)
		*q = append(*q, e)
	}
}

// Pop is for container/heap.
func (q *deadlineQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
