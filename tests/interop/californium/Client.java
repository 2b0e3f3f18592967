/*
 * An independent device: Eclipse Californium and Scandium, told what to do line by line on standard input.
 *
 *   session NAME PORT IDENTITY HEXKEY SUITE CID
 *                     the server's port on 127.0.0.1; SUITE as Scandium names it, "-": its own list; CID: "no", or how many bytes
 *                     its own has (0: only the server's is used). The handshake comes with the first post. -> ok
 *   post NAME PATH FORMAT HEXBODY [QUERY...]
 *                     one confirmable POST -> one line, below
 *   close NAME        without a goodbye -> ok
 *
 * A post's line: CODE body=HEX format=N size1=N cipher=SUITE read=HEX write=HEX, "-" for what is not there, read and write being
 * the Connection IDs of the session that the answer came over; or "none REASON" when no answer came. HEXBODY "-": empty.
 * The wait for an answer is bounded by the two time limits below. Ends at the end of its input.
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.CoapClient;
import org.eclipse.californium.core.CoapResponse;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.DtlsEndpointContext;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.util.Bytes;
import org.eclipse.californium.elements.util.StringUtil;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.pskstore.AdvancedSinglePskStore;

public class Client {
    /* A refused handshake is silent on some paths: the client sends its last flight again before it gives up. */
    private static final int HANDSHAKE_TIMEOUT_MS = 500;
    private static final int HANDSHAKE_RETRIES = 2;
    private static final long ANSWER_TIMEOUT_MS = 15000;
    /* One body in one datagram: the collector knows no blocks. */
    private static final int BODY_MAX = 2048;

    private final Map<String, Session> sessions = new HashMap<>();

    private record Session(CoapEndpoint endpoint, String base) {
    }

    private static byte[] bytes(String hex) {
        return hex.equals("-") ? Bytes.EMPTY : StringUtil.hex2ByteArray(hex);
    }

    private static String hex(byte[] bytes) {
        return bytes == null || bytes.length == 0 ? "-" : StringUtil.byteArray2Hex(bytes).toLowerCase();
    }

    private String session(String[] word) throws Exception {
        Configuration conf = Configuration.createStandardWithoutFile();
        conf.set(CoapConfig.MAX_MESSAGE_SIZE, BODY_MAX);
        conf.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, BODY_MAX);
        conf.set(DtlsConfig.DTLS_ROLE, DtlsConfig.DtlsRole.CLIENT_ONLY);
        conf.set(DtlsConfig.DTLS_RETRANSMISSION_TIMEOUT, HANDSHAKE_TIMEOUT_MS, TimeUnit.MILLISECONDS);
        conf.set(DtlsConfig.DTLS_MAX_RETRANSMISSIONS, HANDSHAKE_RETRIES);
        conf.set(DtlsConfig.DTLS_RECEIVER_THREAD_COUNT, 1);
        conf.set(DtlsConfig.DTLS_CONNECTOR_THREAD_COUNT, 1);
        conf.set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        if (!word[5].equals("-")) {
            conf.setAsList(DtlsConfig.DTLS_CIPHER_SUITES, CipherSuite.getTypeByName(word[5]));
        }
        if (!word[6].equals("no")) {
            conf.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.valueOf(word[6]));
        }
        DtlsConnectorConfig.Builder dtls = DtlsConnectorConfig.builder(conf);
        dtls.setAddress(new InetSocketAddress("127.0.0.1", 0));
        dtls.setAdvancedPskStore(new AdvancedSinglePskStore(word[3], bytes(word[4])));
        CoapEndpoint endpoint = CoapEndpoint.builder().setConfiguration(conf).setConnector(new DTLSConnector(dtls.build())).build();
        endpoint.start();
        sessions.put(word[1], new Session(endpoint, "coaps://127.0.0.1:" + word[2] + "/"));
        return "ok";
    }

    private String post(String[] word) throws Exception {
        Session session = sessions.get(word[1]);
        Request request = Request.newPost();
        request.setConfirmable(true);
        request.setURI(session.base() + word[2]);
        for (String query : Arrays.copyOfRange(word, 5, word.length)) {
            request.getOptions().addUriQuery(query);
        }
        request.getOptions().setContentFormat(Integer.parseInt(word[3]));
        request.setPayload(bytes(word[4]));

        CoapClient client = new CoapClient();
        client.setEndpoint(session.endpoint());
        client.setTimeout(ANSWER_TIMEOUT_MS);
        try {
            CoapResponse answer = client.advanced(request);
            return answer == null ? "none timeout" : line(answer);
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            return "none " + String.valueOf(cause.getMessage()).replaceAll("\\s+", " ");
        } finally {
            client.shutdown();
        }
    }

    private static String line(CoapResponse answer) {
        EndpointContext context = answer.advanced().getSourceContext();
        Bytes read = context.get(DtlsEndpointContext.KEY_READ_CONNECTION_ID);
        Bytes write = context.get(DtlsEndpointContext.KEY_WRITE_CONNECTION_ID);
        Integer size1 = answer.getOptions().getSize1();
        boolean formatted = answer.getOptions().hasContentFormat();
        return String.join(" ", answer.getCode().toString(), "body=" + hex(answer.getPayload()),
                "format=" + (formatted ? String.valueOf(answer.getOptions().getContentFormat()) : "-"),
                "size1=" + (size1 == null ? "-" : size1), "cipher=" + context.getString(DtlsEndpointContext.KEY_CIPHER),
                "read=" + (read == null ? "-" : hex(read.getBytes())), "write=" + (write == null ? "-" : hex(write.getBytes())));
    }

    private String close(String[] word) {
        sessions.remove(word[1]).endpoint().destroy();
        return "ok";
    }

    private String act(String[] word) throws Exception {
        switch (word[0]) {
        case "session":
            return session(word);
        case "post":
            return post(word);
        case "close":
            return close(word);
        default:
            return "none unknown command " + word[0];
        }
    }

    public static void main(String[] args) throws Exception {
        CoapConfig.register();
        DtlsConfig.register();
        Client client = new Client();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(client.act(line.trim().split(" ")));
            System.out.flush();
        }
        client.sessions.values().forEach(s -> s.endpoint().destroy());
        System.exit(0);
    }
}
