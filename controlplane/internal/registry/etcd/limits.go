package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// RequiredRequestBytes is the --max-request-bytes that an external etcd needs: the largest
// transaction with its encoding.
const RequiredRequestBytes = registry.MaxRequestBytes + requestSlack

// MinQuotaBytes is the smallest --quota-backend-bytes that is worth starting with.
const MinQuotaBytes = 2 << 30

// grpcOverhead is what etcd adds to --max-request-bytes for the size of a gRPC message.
const grpcOverhead = 512 << 10

// LimitsError lists what has to change at an etcd before the control plane can use it.
type LimitsError struct {
	// Problems are sentences that each name a setting and its value, or a command.
	Problems []string
}

func (e *LimitsError) Error() string {
	return "etcd: the cluster can't be used: " + strings.Join(e.Problems, "; ")
}

// CheckLimits makes sure, without writing anything, that a cluster takes the largest
// transactions that the control plane makes. It fails with a [LimitsError] that says what
// to set, or with registry.ErrUnavailable.
//
// Every endpoint is looked at for quota and alarms; the limits of transactions are those of
// the member that answers.
func CheckLimits(ctx context.Context, client *clientv3.Client) error {
	var problems []string
	for _, check := range []func(context.Context, *clientv3.Client) (string, error){
		checkTxnOps, checkRequestBytes, checkQuota, checkAlarms,
	} {
		problem, err := check(ctx, client)
		if err != nil {
			return err
		}
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	if len(problems) > 0 {
		return &LimitsError{Problems: problems}
	}
	return nil
}

// never is a condition that no store meets.
func never(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", -1)
}

// checkTxnOps sends as many conditions as a transaction may have, and no operation.
func checkTxnOps(ctx context.Context, client *clientv3.Client) (string, error) {
	conditions := make([]clientv3.Cmp, registry.MaxTxnOps)
	for i := range conditions {
		conditions[i] = never(probeKey)
	}
	_, err := client.Txn(ctx).If(conditions...).Commit()
	if errors.Is(err, rpctypes.ErrTooManyOps) {
		return fmt.Sprintf("set --max-txn-ops=%d or more", registry.MaxTxnOps), nil
	}
	return "", readError(ctx, err)
}

// checkRequestBytes sends one condition so long that only a member with a sufficient limit
// takes the message. It is a read, so nothing is proposed to the cluster.
func checkRequestBytes(ctx context.Context, client *clientv3.Client) (string, error) {
	const framing = 4096
	long := make([]byte, RequiredRequestBytes+grpcOverhead-framing)
	conn := client.ActiveConnection()
	_, err := pb.NewKVClient(conn).Txn(ctx, &pb.TxnRequest{Compare: []*pb.Compare{{
		Key:         []byte(probeKey),
		Target:      pb.Compare_VALUE,
		Result:      pb.Compare_EQUAL,
		TargetUnion: &pb.Compare_Value{Value: long},
	}}})
	if errors.Is(readError(ctx, err), registry.ErrTooLarge) {
		return fmt.Sprintf("set --max-request-bytes=%d or more", RequiredRequestBytes), nil
	}
	return "", readError(ctx, err)
}

func checkQuota(ctx context.Context, client *clientv3.Client) (string, error) {
	for _, endpoint := range client.Endpoints() {
		st, err := client.Status(ctx, endpoint)
		if err != nil {
			return "", readError(ctx, err)
		}
		// Members before 3.6 do not say.
		if quota := st.DbSizeQuota; quota > 0 && quota < MinQuotaBytes {
			return fmt.Sprintf("set --quota-backend-bytes=%d or more at %s", MinQuotaBytes, endpoint), nil
		}
	}
	return "", nil
}

func checkAlarms(ctx context.Context, client *clientv3.Client) (string, error) {
	resp, err := client.AlarmList(ctx)
	if err != nil {
		return "", readError(ctx, err)
	}
	for _, alarm := range resp.Alarms {
		switch alarm.GetAlarm() {
		case pb.AlarmType_NOSPACE:
			return "a member is out of space: compact, defragment, then run etcdctl alarm disarm", nil
		case pb.AlarmType_CORRUPT:
			return "a member's data is corrupt: replace the member, then run etcdctl alarm disarm", nil
		case pb.AlarmType_NONE:
		}
	}
	return "", nil
}
