package wire

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The key space that data centers may read. An agent watches all of [EdgePrefix] with one
// watch; what is below [BasePrefix] is read once, when an agent begins.
const (
	EdgePrefix = "edge/"
	BasePrefix = "base/"
	BlobPrefix = EdgePrefix + "blobs/"

	targetPrefix = EdgePrefix + "targets/"
)

// Channel names a chain of releases.
type Channel string

// The channels.
const (
	Urgent   Channel = "urgent"
	Routine  Channel = "routine"
	Platform Channel = "platform"
)

// Channels returns all channels, in the order in which they are shown.
func Channels() []Channel { return []Channel{Urgent, Routine, Platform} }

// The kinds of documents. Every kind belongs to one channel; see [ChannelOf].
const (
	KindShield = "shield"
	KindPurge  = "purge"
	KindSite   = "site"
	KindDNS    = "dns"
	KindApp    = "app"
	KindLimits = "limits"
)

// ChannelOf is the one table from a document's kind to its channel.
func ChannelOf(kind string) (Channel, bool) {
	switch kind {
	case KindShield, KindPurge:
		return Urgent, true
	case KindSite, KindDNS:
		return Routine, true
	case KindApp, KindLimits:
		return Platform, true
	}
	return "", false
}

// DocumentID names one document of a channel.
type DocumentID struct {
	Kind string
	ID   string
}

// String is `{kind}/{id}`.
func (d DocumentID) String() string { return d.Kind + "/" + d.ID }

// ParseDocumentID parses `{kind}/{id}`.
func ParseDocumentID(s string) (DocumentID, error) {
	kind, id, ok := strings.Cut(s, "/")
	if !ok || kind == "" || id == "" {
		return DocumentID{}, fmt.Errorf("wire: %q is not a document's name", s)
	}
	return DocumentID{Kind: kind, ID: id}, nil
}

// Compare orders documents by kind, then ID, as manifests and bases list them.
func (d DocumentID) Compare(other DocumentID) int {
	if c := strings.Compare(d.Kind, other.Kind); c != 0 {
		return c
	}
	return strings.Compare(d.ID, other.ID)
}

// BlobKey is the key of a document by its SHA-256.
func BlobKey(sum Sum) string { return BlobPrefix + hex.EncodeToString(sum[:]) }

// ReleasePrefix is the prefix of a channel's manifests.
func ReleasePrefix(c Channel) string { return EdgePrefix + string(c) + "/releases/" }

// ReleaseKey is the key of a signed manifest. Keys order as numbers do.
func ReleaseKey(c Channel, n int64) string { return ReleasePrefix(c) + number(n) }

// AbandonedPrefix is the prefix of a channel's marks of dead releases.
func AbandonedPrefix(c Channel) string { return EdgePrefix + string(c) + "/abandoned/" }

// AbandonedKey is the key that marks a release as dead for ever.
func AbandonedKey(c Channel, n int64) string { return AbandonedPrefix(c) + number(n) }

// TargetKey is the key of the release that a data center must serve.
func TargetKey(dataCenter string, c Channel) string {
	return targetPrefix + dataCenter + "/" + string(c)
}

// TargetPrefix is the prefix of a data center's targets.
func TargetPrefix(dataCenter string) string { return targetPrefix + dataCenter + "/" }

// BaseKey is the key of a channel's newest base.
func BaseKey(c Channel) string { return BasePrefix + string(c) + "/head" }

// BaseChunkKey is the key of one chunk of a base.
func BaseChunkKey(c Channel, release int64, chunk int) string {
	return BaseChunkPrefix(c) + number(release) + "/" + fmt.Sprintf("%06x", chunk)
}

// BaseChunkPrefix is the prefix of the chunks of a channel's bases. Keys order as releases
// do.
func BaseChunkPrefix(c Channel) string { return BasePrefix + string(c) + "/chunks/" }

func number(n int64) string { return fmt.Sprintf("%016x", n) }

// EdgeKeyKind is what a key below [EdgePrefix] holds.
type EdgeKeyKind int

// The kinds of keys.
const (
	UnknownKey EdgeKeyKind = iota
	BlobKeyKind
	ReleaseKeyKind
	AbandonedKeyKind
	TargetKeyKind
)

// EdgeKey is a key below [EdgePrefix], taken apart.
type EdgeKey struct {
	Kind       EdgeKeyKind
	Sum        Sum
	Channel    Channel
	Release    int64
	DataCenter string
}

// ParseEdgeKey takes a key apart. Keys of a form that this version does not know have
// [UnknownKey]: an agent ignores them.
func ParseEdgeKey(key string) EdgeKey {
	parts := strings.Split(key, "/")
	switch {
	case len(parts) == 3 && parts[1] == "blobs":
		sum, err := ParseSum(parts[2])
		if err != nil {
			return EdgeKey{}
		}
		return EdgeKey{Kind: BlobKeyKind, Sum: sum}
	case len(parts) == 4 && parts[1] == "targets":
		return EdgeKey{Kind: TargetKeyKind, DataCenter: parts[2], Channel: Channel(parts[3])}
	case len(parts) == 4:
		n, err := strconv.ParseInt(parts[3], 16, 64)
		if err != nil {
			return EdgeKey{}
		}
		switch parts[2] {
		case "releases":
			return EdgeKey{Kind: ReleaseKeyKind, Channel: Channel(parts[1]), Release: n}
		case "abandoned":
			return EdgeKey{Kind: AbandonedKeyKind, Channel: Channel(parts[1]), Release: n}
		}
	}
	return EdgeKey{}
}
