package ledger

import (
	"fmt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ControlPrefix is the prefix of all of the engine's state.
const ControlPrefix = "control/"

// Keys and prefixes below ControlPrefix.
const (
	LeaderKey         = ControlPrefix + "leader"
	QuarantinesPrefix = ControlPrefix + "quarantines/"
	DataCentersPrefix = ControlPrefix + "dataCenters/"
	FleetPrefix       = ControlPrefix + "fleet/"
	CommandsPrefix    = ControlPrefix + "commands/"
	IncidentsPrefix   = ControlPrefix + "incidents/"
	IncidentCursorKey = ControlPrefix + "incidentCursor"
)

func channel(c wire.Channel, part string) string {
	return ControlPrefix + "channels/" + string(c) + "/" + part
}

// HeadKey is the key of a channel's HeadRecord.
func HeadKey(c wire.Channel) string { return channel(c, "head") }

// RolloutKey is the key of a channel's RolloutRecord.
func RolloutKey(c wire.Channel) string { return channel(c, "rollout") }

// PolicyKey is the key of a channel's ChannelPolicy.
func PolicyKey(c wire.Channel) string { return channel(c, "policy") }

// HistoryPrefix is the prefix of a channel's finished ReleaseProgress records.
func HistoryPrefix(c wire.Channel) string { return channel(c, "history/") }

// HistoryKey is the key of a release's final ReleaseProgress.
func HistoryKey(c wire.Channel, n int64) string {
	return HistoryPrefix(c) + fmt.Sprintf("%016x", n)
}

// QuarantineKey is the key of a QuarantineRecord, by its ID.
func QuarantineKey(id string) string { return QuarantinesPrefix + id }

// QuarantineID is the ID of a document's quarantine: one a document, so that a new one
// replaces the old one. It has no slash: `{kind}-{id}`.
func QuarantineID(d wire.DocumentID) string { return d.Kind + "-" + d.ID }

// DataCenterKey is the key of a DataCenterControl.
func DataCenterKey(dc string) string { return DataCentersPrefix + dc }

// FleetKey is the key of a FleetRecord.
func FleetKey(dc string) string { return FleetPrefix + dc }

// IncidentKey is the key of an IncidentRecord. IDs order by time.
func IncidentKey(id string) string { return IncidentsPrefix + id }

// CommandKey is the key of a Command. IDs order by time.
func CommandKey(id string) string { return CommandsPrefix + id }
