//! RabbitMQ as Cinder uses it: a quorum queue, messages that are on disk when they are confirmed, acknowledgements.

use std::time::Duration;

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    BasicQosArguments, Channel, ConfirmSelectArguments, ConsumerMessage, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, DELIVERY_MODE_PERSISTENT, FieldTable, FieldValue, Nack, Return,
};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use uuid::Uuid;

use super::manager::Work;
use crate::server::Server;

const QUEUE: &str = "work";
const CONSUMER: &str = "manager";

/// A connection to the broker.
pub struct Mailbox {
    pub server_pid: i32,
    // It closes the connection when it is dropped.
    _connection: Connection,
    channel: Channel,
    confirmed: UnboundedReceiver<bool>,
    /// What the broker sends by itself, while this client asks it to.
    delivered: Option<UnboundedReceiver<ConsumerMessage>>,
}

impl Mailbox {
    pub async fn connect(server: &Server) -> Result<Mailbox> {
        let open = OpenConnectionArguments::new("127.0.0.1", server.port(), "guest", "guest");
        let connection = Connection::open(&open).await?;
        let channel = connection.open_channel(None).await?;
        let (confirms, confirmed) = unbounded_channel();
        channel.register_callback(Confirms(confirms)).await?;
        channel.confirm_select(ConfirmSelectArguments::default()).await?;
        channel.queue_declare(quorum_queue()?).await?;
        channel.basic_qos(BasicQosArguments::new(0, 1, false)).await?;
        Ok(Mailbox { server_pid: server.pid(), _connection: connection, channel, confirmed, delivered: None })
    }

    /// Returns when the broker has the message on disk.
    pub async fn publish(&mut self, volume: &Uuid) -> Result<()> {
        let mut properties = BasicProperties::default();
        properties.with_delivery_mode(DELIVERY_MODE_PERSISTENT);
        let to = BasicPublishArguments::new("", QUEUE);
        self.channel.basic_publish(properties, volume.as_bytes().to_vec(), to).await?;
        match self.confirmed.recv().await {
            Some(true) => Ok(()),
            _ => bail!("RabbitMQ has refused a message"),
        }
    }

    /// The first message, if there is one.
    pub async fn get(&self) -> Result<Option<Work>> {
        let message = self.channel.basic_get(BasicGetArguments::new(QUEUE)).await?;
        message.map(|(got, _, content)| work(got.delivery_tag(), &content)).transpose()
    }

    /// The first message that the broker sends within this time.
    pub async fn next(&mut self, wait: Duration) -> Result<Option<Work>> {
        if self.delivered.is_none() {
            let consume = BasicConsumeArguments::new(QUEUE, CONSUMER);
            self.delivered = Some(self.channel.basic_consume_rx(consume).await?.1);
        }
        let delivered = self.delivered.as_mut().context("asked for")?;
        let Ok(message) = timeout(wait, delivered.recv()).await else {
            return Ok(None);
        };
        let message = message.context("RabbitMQ sends nothing any more")?;
        let (deliver, content) = (message.deliver.context("a delivery")?, message.content.context("a content")?);
        work(deliver.delivery_tag(), &content).map(Some)
    }

    /// From now on the broker sends nothing to this client.
    pub async fn rest(&mut self) -> Result<()> {
        if self.delivered.take().is_some() {
            self.channel.basic_cancel(BasicCancelArguments::new(CONSUMER)).await?;
        }
        Ok(())
    }

    pub async fn acknowledge(&self, work: &Work) -> Result<()> {
        let tag = work.token.try_into()?;
        Ok(self.channel.basic_ack(BasicAckArguments::new(tag, false)).await?)
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("server_pid", &self.server_pid).finish_non_exhaustive()
    }
}

/// A classic queue confirms most messages without a wait for the disk.
fn quorum_queue() -> Result<QueueDeclareArguments> {
    let mut settings = FieldTable::new();
    settings.insert("x-queue-type".try_into()?, FieldValue::S("quorum".try_into()?));
    Ok(QueueDeclareArguments::durable_client_named(QUEUE).arguments(settings).finish())
}

fn work(tag: u64, content: &[u8]) -> Result<Work> {
    Ok(Work { token: tag.try_into()?, volume: Uuid::from_slice(content)? })
}

/// Reports each confirmation: whether the broker has the message.
struct Confirms(UnboundedSender<bool>);

impl Confirms {
    /// The mailbox may be gone.
    fn report(&self, has_it: bool) {
        _ = self.0.send(has_it);
    }
}

#[async_trait]
impl ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result<(), amqprs::error::Error> {
        self.report(false);
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, _: Ack) {
        self.report(true);
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        self.report(false);
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        self.report(false);
    }
}
