import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/**
 * The job of the bench group `stream` for Flink: of ten event names a count and an exact sum of thirty days by days, each new value of a user told.
 * Usage: TagsJob EVENTS USERS DAYS PERCENT hashmap|rocksdb FOLDER. Prints one JSON object.
 *
 * Its events are drawn before the time begins, by the formula of ours (bench/engine/src/stream/traffic.rs): it parses none, and what it tells is
 * discarded. Amounts are whole cents. State is by user: a tile for each name and day, and the running value of each name; a timer a day takes tiles
 * out. On the heap it is one array of a user, changed in place; in RocksDB, which would write all of it for each event, entries of a map.
 */
public final class TagsJob {
  static final int NAMES = 10;
  static final int DAYS = 30;
  static final long DAY_MS = 86_400_000L;
  static final long BEGIN_MS = 1_772_323_200_000L;
  static volatile long firstNs;
  static volatile long lastNs;
  static volatile long firstCpuNs;
  static volatile long lastCpuNs;
  static volatile long told;

  public static final class Event {
    public String user;
    public int name;
    public long cents;
    public long timeMs;
  }

  public static final class Value {
    public String user;
    public int name;
    public boolean sum;
    public long value;
  }

  static long mix(long key) {
    long x = key ^ 0x4CF2_D2BA_AE6D_A887L;
    x = (x ^ (x >>> 33)) * 0xFF51_AFD7_ED55_8CCDL;
    x = (x ^ (x >>> 33)) * 0xC4CE_B9FE_1A85_EC53L;
    return x ^ (x >>> 33);
  }

  static final class Traffic extends RichMapFunction<Long, Event> {
    final long events;
    final int users;
    final int days;
    final double first;
    transient String[] ids;
    transient int[] ranks;
    transient byte[] names;
    transient int[] cents;

    Traffic(long events, int users, int days, double first) {
      this.events = events;
      this.users = users;
      this.days = days;
      this.first = first;
    }

    @Override
    public void open(OpenContext context) {
      double others = 0;
      for (int rank = 2; rank <= users; rank++) others += 1.0 / rank;
      double total = others / (1 - first);
      double sum = 0;
      double[] shares = new double[users];
      ids = new String[users];
      for (int rank = 1; rank <= users; rank++) {
        sum += (rank == 1 ? total * first : 1.0 / rank) / total;
        shares[rank - 1] = sum;
        ids[rank - 1] = String.format("u%015x", mix(rank - 1) >>> 4);
      }
      ranks = new int[(int) events];
      names = new byte[(int) events];
      cents = new int[(int) events];
      for (int number = 0; number < events; number++) draw(shares, number);
      firstNs = System.nanoTime();
      firstCpuNs = cpuNs();
    }

    private void draw(double[] shares, int number) {
      double share = (mix(number) >>> 11) / (double) (1L << 53);
      int low = 0, high = users - 1;
      while (low < high) {
        int middle = (low + high) >>> 1;
        if (shares[middle] <= share) low = middle + 1;
        else high = middle;
      }
      long other = mix(number ^ (1L << 60));
      ranks[number] = low;
      names[number] = (byte) Long.remainderUnsigned(other, NAMES);
      cents[number] = (int) ((other >>> 32) % 100_000);
    }

    @Override
    public Event map(Long number) {
      int at = number.intValue();
      Event event = new Event();
      event.user = ids[ranks[at]];
      event.name = names[at];
      event.cents = cents[at];
      event.timeMs = BEGIN_MS + (long) ((double) number * days * DAY_MS / events);
      return event;
    }
  }

  /** What both backends share: values told, and when the last event was taken in. */
  abstract static class Tags extends KeyedProcessFunction<String, Event, Value> {
    final long events;
    transient long seen;
    transient long count;

    Tags(long events) {
      this.events = events;
    }

    void tell(String user, Collector<Value> out, int name, long events, long cents) {
      for (int kind = 0; kind < 2; kind++) {
        Value value = new Value();
        value.user = user;
        value.name = name;
        value.sum = kind == 1;
        value.value = kind == 1 ? cents : events;
        out.collect(value);
        count++;
      }
    }

    void taken() {
      // Not the end of the job: with that all timers fire.
      if (++seen == events) {
        lastNs = System.nanoTime();
        lastCpuNs = cpuNs();
        told = count;
      }
    }

    static long leaves(int day) {
      return (day + (long) DAYS) * DAY_MS;
    }
  }

  /** One array of a user: of each name events and cents, then of each tile its key, events and cents. */
  static final class HeapTags extends Tags {
    static final int HEAD = 2 * NAMES;
    transient ValueState<long[]> state;

    HeapTags(long events) {
      super(events);
    }

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("tags", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Value> out) throws Exception {
      int day = (int) (event.timeMs / DAY_MS);
      long key = day * 16L + event.name;
      long[] all = state.value();
      if (all == null) all = new long[HEAD];
      all[2 * event.name]++;
      all[2 * event.name + 1] += event.cents;
      // The newest tile is the last.
      int at = all.length - 3;
      while (at >= HEAD && all[at] != key) at -= 3;
      if (at < HEAD) {
        at = all.length;
        all = Arrays.copyOf(all, at + 3);
        all[at] = key;
        context.timerService().registerEventTimeTimer(leaves(day));
      }
      all[at + 1]++;
      all[at + 2] += event.cents;
      state.update(all);
      tell(event.user, out, event.name, all[2 * event.name], all[2 * event.name + 1]);
      taken();
    }

    @Override
    public void onTimer(long atMs, OnTimerContext context, Collector<Value> out) throws Exception {
      long day = atMs / DAY_MS - DAYS;
      long[] all = state.value();
      long[] kept = new long[all.length];
      int length = HEAD;
      System.arraycopy(all, 0, kept, 0, HEAD);
      for (int at = HEAD; at < all.length; at += 3) {
        int name = (int) (all[at] % 16);
        if (all[at] / 16 == day) {
          kept[2 * name] -= all[at + 1];
          kept[2 * name + 1] -= all[at + 2];
          tell(context.getCurrentKey(), out, name, kept[2 * name], kept[2 * name + 1]);
        } else {
          System.arraycopy(all, at, kept, length, 3);
          length += 3;
        }
      }
      if (length == HEAD) state.clear();
      else state.update(Arrays.copyOf(kept, length));
    }
  }

  static final class MapTags extends Tags {
    transient MapState<Integer, long[]> tiles;
    transient MapState<Integer, long[]> values;

    MapTags(long events) {
      super(events);
    }

    @Override
    public void open(OpenContext context) {
      var pair = PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO;
      tiles = getRuntimeContext().getMapState(new MapStateDescriptor<>("tiles", Types.INT, pair));
      values = getRuntimeContext().getMapState(new MapStateDescriptor<>("values", Types.INT, pair));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Value> out) throws Exception {
      int day = (int) (event.timeMs / DAY_MS);
      int tile = day * 16 + event.name;
      long[] of = tiles.get(tile);
      if (of == null) context.timerService().registerEventTimeTimer(leaves(day));
      tiles.put(tile, of == null ? new long[] {1, event.cents} : new long[] {of[0] + 1, of[1] + event.cents});
      long[] before = values.get(event.name);
      long[] now = before == null ? new long[] {1, event.cents} : new long[] {before[0] + 1, before[1] + event.cents};
      values.put(event.name, now);
      tell(event.user, out, event.name, now[0], now[1]);
      taken();
    }

    @Override
    public void onTimer(long atMs, OnTimerContext context, Collector<Value> out) throws Exception {
      int day = (int) (atMs / DAY_MS) - DAYS;
      for (int name = 0; name < NAMES; name++) {
        long[] gone = tiles.get(day * 16 + name);
        if (gone == null) continue;
        tiles.remove(day * 16 + name);
        long[] before = values.get(name);
        long[] now = {before[0] - gone[0], before[1] - gone[1]};
        if (now[0] == 0) values.remove(name);
        else values.put(name, now);
        tell(context.getCurrentKey(), out, name, now[0], now[1]);
      }
    }
  }

  static long cpuNs() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  public static void main(String[] args) throws Exception {
    long events = Long.parseLong(args[0]);
    int users = Integer.parseInt(args[1]);
    int days = Integer.parseInt(args[2]);
    double first = Double.parseDouble(args[3]) / 100;
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", args[4]);
    configuration.setString("execution.checkpointing.storage", "filesystem");
    configuration.setString("execution.checkpointing.dir", Path.of(args[5], "checkpoints").toUri().toString());
    configuration.setString("execution.checkpointing.incremental", String.valueOf(args[4].equals("rocksdb")));
    configuration.setString("state.backend.rocksdb.localdir", Path.of(args[5], "rocksdb").toString());
    configuration.setString("taskmanager.memory.managed.size", "1g");
    configuration.setString("taskmanager.numberOfTaskSlots", "1");
    var environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    environment.setParallelism(1);
    environment.enableCheckpointing(10_000);
    environment.getConfig().enableObjectReuse();
    environment
        .fromSequence(0, events - 1)
        .map(new Traffic(events, users, days, first))
        .returns(Event.class)
        .assignTimestampsAndWatermarks(
            WatermarkStrategy.<Event>forMonotonousTimestamps().withTimestampAssigner((event, at) -> event.timeMs))
        .keyBy(event -> event.user)
        .process(args[4].equals("rocksdb") ? new MapTags(events) : new HeapTags(events))
        .returns(Value.class)
        .sinkTo(new DiscardingSink<>());
    environment.execute("tags");
    double seconds = (lastNs - firstNs) / 1e9;
    System.out.printf("{\"events\": %d, \"seconds\": %.3f, \"events_per_s\": %.0f, \"cpu_seconds\": %.2f, \"values\": %d}%n", events, seconds, events / seconds, (lastCpuNs - firstCpuNs) / 1e9, told);
  }
}
