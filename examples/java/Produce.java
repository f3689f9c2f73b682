// Send files as one big result with RabbitMQ's Java client.
//
//     mvn dependency:copy-dependencies
//     BRH_AMQP_URL=amqp://user:password@host/vhost \
//         java -cp 'target/dependency/*' Produce.java T1 cashflows=big.csv log=run.log
//
// That takes a JDK. The tests have a Java runtime only: they compile this file with Eclipse's compiler (`ecj -17`) and
// run the class.
//
// Run it again after any failure: `T1.sent` remembers what the broker has confirmed. Without that file everything is
// sent again, which is harmless: the same payload counts once.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;

public class Produce {
    static final int CHUNK_BYTES = // up to 256 MiB; the same in every run of a transaction
            Integer.parseInt(System.getenv().getOrDefault("BRH_CHUNK_BYTES", String.valueOf(8 << 20)));
    static final int SMALL_BYTES = 256 << 10; // below this a payload belongs on `small.`
    static final int UNCONFIRMED = 8; // messages on their way at once
    static final int TRIES = 8; // with pauses of 1, 2, 4, ... at most 30 seconds
    static final long CONFIRM_TIMEOUT_MS = 60_000;

    record Message(String name, String routingKey, AMQP.BasicProperties properties, byte[] body) {}

    final String transaction;
    final Map<String, Path> files;
    final Path journal;

    Produce(String transaction, Map<String, Path> files) {
        this.transaction = transaction;
        this.files = files;
        this.journal = Path.of(transaction + ".sent");
    }

    public static void main(String[] args) throws Exception {
        Map<String, Path> files = new LinkedHashMap<>();
        for (int at = 1; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            files.put(pair[0], Path.of(pair[1]));
        }
        Produce producer = new Produce(args[0], files);
        for (int attempt = 0; attempt < TRIES; attempt++) {
            try {
                producer.send();
                return;
            } catch (IOException | TimeoutException | AlreadyClosedException error) {
                pause(attempt, "the connection was lost: " + error);
            }
        }
        System.err.println("gave up: is RabbitMQ running, and was `brh setup` run?");
        System.exit(1);
    }

    void send() throws Exception {
        Set<String> sent = new HashSet<>(Files.exists(journal) ? Files.readAllLines(journal) : Set.of());
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("BRH_AMQP_URL"));
        factory.setAutomaticRecoveryEnabled(false); // only we know what has to be sent again
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            channel.confirmSelect();
            Confirms confirms = new Confirms(channel);
            Map<String, Long> totals = new LinkedHashMap<>();
            for (var file : files.entrySet()) {
                totals.put(file.getKey(), (Files.size(file.getValue()) + CHUNK_BYTES - 1) / CHUNK_BYTES);
            }
            if (!sent.contains("header")) {
                confirms.publish(header(totals));
            }
            for (var file : files.entrySet()) {
                try (RandomAccessFile from = new RandomAccessFile(file.getValue().toFile(), "r")) {
                    for (long ordinal = 1; ordinal <= totals.get(file.getKey()); ordinal++) {
                        if (!sent.contains(file.getKey() + "/" + ordinal)) {
                            confirms.publish(payload(file.getKey(), ordinal, totals.get(file.getKey()), from));
                        }
                    }
                }
            }
            confirms.waitForAll();
        }
    }

    Message header(Map<String, Long> totals) {
        String series = totals.entrySet().stream()
                .map(each -> "{\"type\": \"%s\", \"totalCount\": %d}".formatted(each.getKey(), each.getValue()))
                .collect(Collectors.joining(", ", "{\"series\": [", "]}"));
        var properties = properties("header", "brh.header.v1").contentType("application/json").build();
        return new Message("header", "header.default", properties, series.getBytes(StandardCharsets.UTF_8));
    }

    Message payload(String series, long ordinal, long total, RandomAccessFile from) throws IOException {
        from.seek((ordinal - 1) * CHUNK_BYTES);
        byte[] body = new byte[(int) Math.min(CHUNK_BYTES, from.length() - from.getFilePointer())];
        from.readFully(body);
        String name = series + "/" + ordinal;
        Map<String, Object> headers =
                Map.of("brh_series_type", series, "brh_ordinal", ordinal, "brh_total_count", total);
        var properties = properties(name, "brh.payload.v1").headers(headers).build();
        return new Message(name, (body.length < SMALL_BYTES ? "small." : "payload.") + series, properties, body);
    }

    AMQP.BasicProperties.Builder properties(String name, String type) {
        return new AMQP.BasicProperties.Builder()
                .type(type)
                .correlationId(transaction)
                .messageId(transaction + "/" + name)
                .deliveryMode(2);
    }

    /** What is on its way: a message leaves when the broker has it, and goes again when no queue took it. */
    class Confirms {
        private final Channel channel;
        private final TreeMap<Long, Message> unconfirmed = new TreeMap<>();
        private final Set<String> returned = ConcurrentHashMap.newKeySet();
        private final Map<String, Message> failed = new LinkedHashMap<>();
        private IOException broken;

        Confirms(Channel channel) {
            this.channel = channel;
            // A message that no queue takes comes back before its confirmation.
            channel.addReturnListener(back -> returned.add(back.getProperties().getMessageId()));
            channel.addConfirmListener(
                    (tag, multiple) -> settle(tag, multiple, false), (tag, multiple) -> settle(tag, multiple, true));
        }

        void publish(Message message) throws IOException, TimeoutException, InterruptedException {
            waitUntilBelow(UNCONFIRMED);
            sendAgain();
            put(message);
        }

        void waitForAll() throws IOException, TimeoutException, InterruptedException {
            for (waitUntilBelow(1); anyFailed(); waitUntilBelow(1)) {
                sendAgain();
            }
        }

        private void put(Message message) throws IOException {
            synchronized (this) {
                unconfirmed.put(channel.getNextPublishSeqNo(), message);
            }
            channel.basicPublish("brh.in", message.routingKey(), true, message.properties(), message.body());
        }

        private void sendAgain() throws IOException, TimeoutException, InterruptedException {
            for (int attempt = 0; anyFailed(); attempt++) {
                Map<String, Message> again;
                synchronized (this) {
                    again = new LinkedHashMap<>(failed);
                    failed.clear();
                }
                if (attempt == TRIES) {
                    System.err.println("gave up on " + again.keySet());
                    System.exit(1);
                }
                pause(attempt, again.keySet() + " were not taken");
                for (Message message : again.values()) {
                    put(message);
                }
                waitUntilBelow(1);
            }
        }

        private synchronized boolean anyFailed() {
            return !failed.isEmpty();
        }

        private synchronized void waitUntilBelow(int count) throws IOException, TimeoutException, InterruptedException {
            long deadline = System.currentTimeMillis() + CONFIRM_TIMEOUT_MS;
            while (unconfirmed.size() >= count) {
                if (!channel.isOpen()) {
                    throw new IOException("the channel was closed");
                }
                if (System.currentTimeMillis() > deadline) {
                    throw new TimeoutException("no confirmation for " + CONFIRM_TIMEOUT_MS + " ms");
                }
                wait(1_000);
            }
            if (broken != null) {
                throw broken;
            }
        }

        private synchronized void settle(long tag, boolean multiple, boolean nacked) {
            var settled = multiple ? unconfirmed.headMap(tag, true) : unconfirmed.subMap(tag, true, tag, true);
            for (Message message : settled.values()) {
                if (nacked | returned.remove(message.properties().getMessageId())) {
                    failed.put(message.name(), message);
                } else {
                    note(message.name());
                }
            }
            settled.clear();
            notifyAll();
        }

        private void note(String name) {
            try {
                Files.writeString(journal, name + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            } catch (IOException error) {
                broken = error;
            }
        }
    }

    static void pause(int attempt, String why) throws InterruptedException {
        System.err.println("again: " + why);
        Thread.sleep(1000L * Math.min(30, 1L << attempt));
    }
}
