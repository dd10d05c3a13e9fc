//! etcd's lock API, over gRPC.

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::server::Server;

/// In seconds: longer than any run, so that no lease has to be kept alive.
const LEASE: i64 = 86_400;

// The messages that a lock takes, with the fields that matter to it; the numbers are those of etcd's `rpc.proto` and
// `v3lock.proto`. A request with one field, its first, is that field: a `LeaseGrantRequest` is an `i64`, an
// `UnlockRequest` a `Vec<u8>`; an `UnlockResponse` is `()`.

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LockRequest {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(int64, tag = "2")]
    lease: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LockResponse {
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Debug)]
pub struct Etcd {
    pub server_pid: i32,
    grpc: Grpc<Channel>,
    /// The client's identity: a lock belongs to its lease.
    lease: i64,
    /// The key that etcd returned for the lock that it holds.
    held: Vec<u8>,
}

impl Etcd {
    pub async fn connect(server: &Server) -> Result<Etcd> {
        let channel = Endpoint::from_shared(format!("http://{}", server.address()))?.connect().await?;
        let mut grpc = Grpc::new(channel);
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let reply: LeaseGrantResponse = call(&mut grpc, path, LEASE).await?;
        Ok(Etcd { server_pid: server.pid(), grpc, lease: reply.id, held: Vec::new() })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        let request = LockRequest { name: key.as_bytes().to_vec(), lease: self.lease };
        let reply: LockResponse = call(&mut self.grpc, "/v3lockpb.Lock/Lock", request).await?;
        self.held = reply.key;
        Ok(())
    }

    pub async fn release(&mut self) -> Result<()> {
        let key = std::mem::take(&mut self.held);
        call(&mut self.grpc, "/v3lockpb.Lock/Unlock", key).await
    }
}

async fn call<Q, A>(grpc: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    grpc.ready().await?;
    let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
    let reply = grpc.unary(Request::new(request), path, codec).await;
    Ok(reply.context("etcd")?.into_inner())
}
